import { readFileSync } from "node:fs";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import { type AdamWOptions, adamW, globalNorm, type Moments, zeroMoments } from "../../../lib/train/adamw.ts";
import { relativeError } from "../../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];
const OPTIONS: AdamWOptions = { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay: 0.1 };

type Values = Record<"matrix" | "gain", number[]>;
const golden = JSON.parse(readFileSync(new URL("../../golden/adamw.json", import.meta.url), "utf8")) as {
  rates: number[];
  weightDecay: number;
  clipNorm: number;
  start: Values;
  steps: { gradients: Values; norm: number; params: Values; first: Values; second: Values }[];
};

function tensorsOf({ matrix, gain }: Values): Map<string, tf.Tensor> {
  return new Map<string, tf.Tensor>([
    ["matrix", tf.tensor2d(matrix, [2, 3])],
    ["gain", tf.tensor1d(gain)],
  ]);
}

function variablesOf(values: Values): Map<string, tf.Variable> {
  return new Map(
    [...tensorsOf(values)].map(([name, value]) => {
      const variable = tf.variable(value);
      value.dispose();
      return [name, variable];
    }),
  );
}

function dispose(...maps: ReadonlyMap<string, tf.Tensor>[]): void {
  for (const map of maps) for (const value of map.values()) value.dispose();
}

function expectValues(found: ReadonlyMap<string, tf.Tensor>, expected: Values): void {
  for (const [name, value] of found)
    expect(relativeError(value.dataSync(), expected[name as keyof Values]), name).toBeLessThan(1e-6);
}

describe.each(BACKENDS)("adamW on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test("the first step, by hand", () => {
    // m = 0.1 · g and v = 0.05 · g²; corrected by 1 − 0.9 and 1 − 0.95 they are g and g², so every value moves by
    // rate · sign(g) = 0.01, after the matrix has shrunk by 1 − 0.01 · 0.1 = 0.999.
    const variables = variablesOf({ matrix: [1, 2, 3, 4, 5, 6], gain: [1, 1, 1] });
    const gradients = tensorsOf({ matrix: [2, -2, 0.5, -0.5, 0, 1e-3], gain: [1, -1, 0] });
    const moments = zeroMoments(variables);
    adamW(variables, gradients, moments, { ...OPTIONS, step: 1, rate: 0.01, scale: 1 });
    expectValues(variables, {
      matrix: [0.999 - 0.01, 1.998 + 0.01, 2.997 - 0.01, 3.996 + 0.01, 4.995, 5.994 - 0.01],
      gain: [0.99, 1.01, 1],
    });
    expectValues(moments.first, { matrix: [0.2, -0.2, 0.05, -0.05, 0, 1e-4], gain: [0.1, -0.1, 0] });
    expectValues(moments.second, { matrix: [0.2, 0.2, 0.0125, 0.0125, 0, 5e-8], gain: [0.05, 0.05, 0] });
    dispose(variables, gradients, moments.first, moments.second);
  });

  test("several steps with clipping and changing rates are those of torch.optim.AdamW", () => {
    const variables = variablesOf(golden.start);
    const moments = zeroMoments(variables);
    const clipped: boolean[] = [];
    for (const [i, { gradients, norm, ...expected }] of golden.steps.entries()) {
      const given = tensorsOf(gradients);
      expect(globalNorm(given)).toBeCloseTo(norm, 5);
      const scale = Math.min(1, golden.clipNorm / norm);
      clipped.push(scale < 1);
      const { weightDecay } = golden;
      adamW(variables, given, moments, { ...OPTIONS, weightDecay, step: i + 1, rate: golden.rates[i]!, scale });
      expectValues(variables, expected.params);
      expectValues(moments.first, expected.first);
      expectValues(moments.second, expected.second);
      dispose(given);
    }
    expect(clipped).toEqual([true, true, false, true]);
    dispose(variables, moments.first, moments.second);
  });

  test("what gets no gradient has moments of zero and only decays", () => {
    const variables = variablesOf({ matrix: [1, -2, 3, 4, 5, 6], gain: [2, 2, 2] });
    const gradients = tensorsOf({ matrix: [0, 0, 0, 1, 1, 1], gain: [0, 0, 0] });
    const moments = zeroMoments(variables);
    const rates = [0.1, 0.2, 0.05];
    for (const [i, rate] of rates.entries())
      adamW(variables, gradients, moments, { ...OPTIONS, step: i + 1, rate, scale: 1 });
    const decay = rates.reduce((product, rate) => product * (1 - rate * 0.1), 1);
    const [matrix, first] = [variables.get("matrix")!.dataSync(), moments.first.get("matrix")!.dataSync()];
    expect(relativeError(matrix.subarray(0, 3), [decay, -2 * decay, 3 * decay])).toBeLessThan(1e-6);
    expect([...first.subarray(0, 3)]).toEqual([0, 0, 0]);
    expect([...variables.get("gain")!.dataSync()]).toEqual([2, 2, 2]);
    dispose(variables, gradients, moments.first, moments.second);
  });

  test("a step makes no tensor that it does not let go", () => {
    const variables = variablesOf(golden.start);
    const gradients = tensorsOf(golden.steps[0]!.gradients);
    const moments: Moments = zeroMoments(variables);
    const before = tf.memory().numTensors;
    for (const step of [1, 2]) adamW(variables, gradients, moments, { ...OPTIONS, step, rate: 0.1, scale: 0.5 });
    globalNorm(gradients);
    expect(tf.memory().numTensors).toBe(before);
    dispose(variables, gradients, moments.first, moments.second);
  });

  test("a parameter without a gradient is an error that names it", () => {
    const variables = variablesOf(golden.start);
    const gradients = tensorsOf(golden.steps[0]!.gradients);
    const moments = zeroMoments(variables);
    gradients.get("gain")!.dispose();
    gradients.delete("gain");
    expect(() => adamW(variables, gradients, moments, { ...OPTIONS, step: 1, rate: 0.1, scale: 1 })).toThrow(
      new RangeError("adamW: gain has no gradient"),
    );
    dispose(variables, gradients, moments.first, moments.second);
  });
});
