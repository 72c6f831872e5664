import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import type { Activation } from "../../../lib/config.ts";
import { gatedLinear } from "../../../lib/ops/gatedLinear.ts";
import { relativeError } from "../../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

function density(t: number): number {
  return Math.exp((-t * t) / 2) / Math.sqrt(2 * Math.PI);
}

/** Φ(x), the normal distribution's share below x, by Simpson's rule from 0. */
function normalShare(x: number): number {
  const n = 2000;
  let sum = density(0) + density(x);
  for (let i = 1; i < n; i++) sum += (i % 2 === 0 ? 2 : 4) * density((i * x) / n);
  return 0.5 + (sum * x) / n / 3;
}

const PLAIN: Record<Activation, (x: number) => number> = {
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => x * normalShare(x),
  geluSigmoid: (x) => x / (1 + Math.exp(-1.702 * x)),
  geluTanh: (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
};
const ACTIVATIONS = Object.keys(PLAIN) as Activation[];

describe.each(BACKENDS)("gatedLinear on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test("silu of 1 is σ(1) = 0.731059, of −1 it is −0.268941; up multiplies", () => {
    tf.tidy(() => {
      const y = gatedLinear(tf.tensor1d([1, -1, 0]), tf.tensor1d([2, 10, 7]), "silu");
      expect(relativeError(y.dataSync(), [1.462117, -2.689414, 0])).toBeLessThan(1e-6);
    });
  });

  test("gelu of 1 is Φ(1) = 0.841345, and the tanh form 0.841192", () => {
    tf.tidy(() => {
      const one = tf.tensor1d([1]);
      expect(gatedLinear(one, one, "gelu").dataSync()[0]).toBeCloseTo(0.841345, 5);
      expect(gatedLinear(one, one, "geluTanh").dataSync()[0]).toBeCloseTo(0.841192, 5);
    });
  });

  test.each(ACTIVATIONS)("%s and its gradients are what the formula gives", (activation) => {
    const gate = [-6, -2.5, -1, -0.1, 0, 0.3, 1.7, 5];
    const up = [0.5, -1, 2, 3, 1, -2, 0.7, 1.1];
    const act = PLAIN[activation];
    tf.tidy(() => {
      const inputs = [tf.tensor1d(gate), tf.tensor1d(up)];
      expect(
        relativeError(
          gatedLinear(inputs[0]!, inputs[1]!, activation).dataSync(),
          gate.map((g, i) => act(g) * up[i]!),
        ),
      ).toBeLessThan(1e-6);
      const [byGate, byUp] = tf.grads((g, u) => gatedLinear(g, u, activation).sum())(inputs);
      const slopes = gate.map((g, i) => ((act(g + 1e-4) - act(g - 1e-4)) / 2e-4) * up[i]!);
      expect(relativeError(byGate!.dataSync(), slopes)).toBeLessThan(1e-5);
      expect(relativeError(byUp!.dataSync(), gate.map(act))).toBeLessThan(1e-6);
    });
  });

  test.each(ACTIVATIONS)("%s of huge gates is the gate or nothing", (activation) => {
    tf.tidy(() => {
      const y = gatedLinear(tf.tensor1d([1e4, -1e4]), tf.tensor1d([1, 1]), activation);
      expect(Math.abs(y.dataSync()[0]! - 1e4)).toBeLessThan(1e-2);
      expect(Math.abs(y.dataSync()[1]!)).toBe(0);
    });
  });

  test("with a limit the gate is cut above, up on both sides and raised by 1", () => {
    tf.tidy(() => {
      // Limit 2 cuts (3, 5) to (2, 2), (−9, −5) to (−9, −2). 2 · σ(3.404) · 3 = 5.806, −9 · σ(−15.318) · −1 = 2.0e−6.
      const y = gatedLinear(tf.tensor1d([3, -9, 1]), tf.tensor1d([5, -5, -1]), "geluSigmoid", 2);
      expect(relativeError(y.dataSync(), [6 / (1 + Math.exp(-3.404)), 9 / (1 + Math.exp(15.318)), 0])).toBeLessThan(
        1e-6,
      );
    });
  });
});
