import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import { activate, onTensors } from "../../../lib/ops/activate.ts";
import { relativeError } from "../../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];
const POINTS = [-100, -20, -5, -1.2784645, -1, -1e-3, 0, 1e-3, 0.5, 1, 3, 20, 100];

const silu = (x: tf.Tensor): tf.Tensor => activate(x, "silu", onTensors);

/** In double precision. */
const exact = (x: number): number => x / (1 + Math.exp(-x));

describe.each(BACKENDS)("silu on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test("is x / (1 + exp(−x)), also far out; its least value is −0.278464543 at −1.278464543", () => {
    const x = tf.tensor1d(POINTS);
    const y = silu(x);
    expect(relativeError(y.dataSync(), POINTS.map(exact))).toBeLessThan(1e-6);
    expect(y.dataSync()[3]).toBeCloseTo(-0.278464543, 6);
    tf.dispose([x, y]);
  });

  test("its gradient is the slope", () => {
    const x = tf.tensor1d(POINTS);
    const slope = tf.grad((v) => silu(v).mul(2).sum())(x);
    const step = 1e-5;
    const wanted = POINTS.map((at) => (exact(at + step) - exact(at - step)) / step);
    expect(relativeError(slope.dataSync(), wanted)).toBeLessThan(1e-6);
    tf.dispose([x, slope]);
  });

  test("leaves nothing behind", () => {
    const x = tf.tensor1d(POINTS);
    const before = tf.memory().numTensors;
    tf.dispose([silu(x), tf.grad((v) => silu(v).sum())(x)]);
    expect(tf.memory().numTensors).toBe(before);
    x.dispose();
  });
});
