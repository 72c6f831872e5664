import * as tf from "@tensorflow/tfjs";
import { expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import type { Activation } from "../../../lib/config.ts";
import { gatedLinear } from "../../../lib/decode/gatedLinear.ts";
import { gatedLinear as ofTensors } from "../../../lib/ops/gatedLinear.ts";
import { relativeError } from "../../helpers.ts";

test.each<[Activation, number]>([
  // act(1) · 2: 1/(1+e⁻¹) = 0.731059; Φ(1) = 0.841345; and its approximation 0.841192
  ["silu", 1.462117],
  ["gelu", 1.68269],
  ["geluTanh", 1.682384],
])("%s of a gate of 1, times an up of 2, is %d", (activation, expected) => {
  const out = new Float32Array(1);
  gatedLinear(Float32Array.of(1, 2), activation, out);
  expect(out[0]).toBeCloseTo(expected, 5);
});

test.each<Activation>(["silu", "gelu", "geluTanh"])(
  "%s is that of tensors, from far below 0 to far above",
  async (activation) => {
    await useBackend("cpu");
    const gate = Float32Array.from({ length: 401 }, (_, i) => (i - 200) / 10);
    const up = gate.map((_, i) => Math.cos(i));
    const out = new Float32Array(gate.length);
    gatedLinear(Float32Array.of(...gate, ...up), activation, out);
    const expected = tf.tidy(() => ofTensors(tf.tensor1d(gate), tf.tensor1d(up), activation).dataSync().slice());
    expect(relativeError(out, expected)).toBeLessThan(1e-6);
  },
);

test.each<Activation>(["silu", "gelu", "geluTanh"])(
  "%s of a gate so large that its exponential overflows stays right",
  (activation) => {
    const out = new Float32Array(2);
    gatedLinear(Float32Array.of(1000, -1000, 1, 1), activation, out);
    expect(out[0]).toBe(1000);
    expect(Math.abs(out[1]!)).toBe(0);
  },
);
