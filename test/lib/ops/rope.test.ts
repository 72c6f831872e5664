import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import { apart, rope, ropeTables, yarnAmplitude, yarnScoreFactor } from "../../../lib/ops/rope.ts";
import { relativeError, seeded } from "../../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

/** [pos, heads, d_head] turned as positions `start`, `start` + 1, … */
function turned(x: number[][][], start: number, base: number): number[][][] {
  return tf.tidy(() => {
    const [pos, dHead] = [x.length, x[0]![0]!.length];
    const heads = tf.tensor4d([x]).transpose<tf.Tensor4D>([0, 2, 1, 3]);
    return rope(heads, ropeTables(start, pos, dHead, base))
      .transpose<tf.Tensor4D>([0, 2, 1, 3])
      .arraySync()[0]!;
  });
}

function lengthOf([row]: number[][]): number {
  return Math.hypot(...row!);
}

describe("YaRN", () => {
  const PLAIN = { betaFast: 32, betaSlow: 1, mscale: null, mscaleAllDim: null };

  test("of gpt-oss makes tables 0.1 ln 32 + 1 = 1.34657 times as long, of DeepSeek-V3 scores 1.36889² as large", () => {
    const gptoss = { ...PLAIN, factor: 32, originalCtx: 4096, truncate: false };
    expect(yarnAmplitude(gptoss)).toBeCloseTo(1.34657, 5);
    expect(yarnScoreFactor(gptoss)).toBe(1);
    const deepseek = { ...PLAIN, factor: 40, originalCtx: 4096, truncate: true, mscale: 1, mscaleAllDim: 1 };
    expect(yarnAmplitude(deepseek)).toBe(1);
    expect(192 ** -0.5 * yarnScoreFactor(deepseek)).toBeCloseTo(0.135234, 6);
    expect(yarnAmplitude({ ...deepseek, mscale: 0.5 })).toBeCloseTo(1.184444 / 1.368888, 6);
    expect(yarnScoreFactor({ ...deepseek, factor: 0.5 })).toBe(1);
  });

  // d_head 64 at base 150000 over 4096 tokens: the ramp goes from pair 8.09 to 17.40.
  test("leaves pairs up to 8 as they are, slows those from 18 on by the factor, and mixes between", async () => {
    await useBackend();
    const yarn = { ...PLAIN, factor: 32, originalCtx: 4096, truncate: false };
    const angles = (stretched: boolean): number[] => {
      const { sin, cos } = ropeTables(1, 1, 64, 150000, stretched ? yarn : undefined);
      const pairs = [sin, cos].map((table) => [...table.dataSync()].slice(32)); // the second half's sines have their own sign
      tf.dispose([sin, cos]);
      return pairs[0]!.map((s, j) => Math.atan2(s, pairs[1]![j]!));
    };
    const ratios = angles(true).map((angle, j) => angle / angles(false)[j]!);
    for (const [j, ratio] of ratios.entries())
      if (j <= 8) expect(ratio).toBeCloseTo(1, 5);
      else if (j >= 18) expect(ratio * 32).toBeCloseTo(1, 4);
      else expect(ratio).toBeCloseTo(1 - ((j - 8.093) / (17.398 - 8.093)) * (31 / 32), 3);
  });
});

describe.each(BACKENDS)("rope on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test("one pair turns by one radian a position", () => {
    // d_head 2 has one pair at frequency base^0 = 1. cos 1 = 0.540302, sin 1 = 0.841471, cos 2 = −0.416147, sin 2 = 0.909297.
    const x = [[[1, 0]], [[1, 0]], [[0, 1]]];
    expect(relativeError(turned(x, 0, 10000).flat(2), [1, 0, 0.540302, 0.841471, -0.909297, -0.416147])).toBeLessThan(
      1e-6,
    );
  });

  test("pairs are a dimension and the one half a head further, the second pair base^(−1/2) as fast", () => {
    // Base 100 makes it 1/10 of a radian at position 1: cos 0.1 = 0.995004, sin 0.1 = 0.0998334.
    const x = [
      [
        [1, 0, 0, 0],
        [0, 1, 0, 0],
      ],
    ];
    const expected = [0.540302, 0, 0.841471, 0, 0, 0.995004, 0, 0.0998334];
    expect(relativeError(turned(x, 1, 100).flat(2), expected)).toBeLessThan(1e-6);
  });

  test("position 0 turns nothing and no position changes a length", () => {
    const random = seeded(2);
    const x = Array.from({ length: 5 }, () => [Array.from({ length: 8 }, () => Math.fround(random() - 0.5))]);
    const y = turned(x, 0, 500000);
    expect(relativeError(y[0]![0]!, x[0]![0]!)).toBe(0);
    expect(relativeError(y.map(lengthOf), x.map(lengthOf))).toBeLessThan(1e-6);
  });

  test("a query times a key depends on their distance alone", () => {
    const random = seeded(3);
    const [q, k] = [0, 1].map(() => Array.from({ length: 16 }, () => random() - 0.5)) as [number[], number[]];
    const product = (qAt: number, kAt: number): number => {
      const [[a]] = turned([[q]], qAt, 10000) as [number[][]];
      const [[b]] = turned([[k]], kAt, 10000) as [number[][]];
      return a!.reduce((sum, value, i) => sum + value * b![i]!, 0);
    };
    for (const distance of [0, 1, 7, 100]) {
      const near = product(distance, 0);
      for (const shift of [1, 13, 500]) expect(Math.abs(product(distance + shift, shift) - near)).toBeLessThan(2e-5);
    }
    expect(Math.abs(product(7, 0) - product(8, 0))).toBeGreaterThan(1e-2);
    expect(Math.abs(product(7, 0) - product(0, 7))).toBeGreaterThan(1e-2);
  });

  test("every head and every sequence turns alike, and a later start is a later part of the same table", () => {
    const random = seeded(4);
    const row = Array.from({ length: 6 }, () => random());
    const all = turned(
      Array.from({ length: 9 }, () => [row, row, row]),
      0,
      10000,
    );
    for (const heads of all) expect([heads[1], heads[2]]).toEqual([heads[0], heads[0]]);
    expect(turned([[row], [row]], 7, 10000)).toEqual([[all[7]![0]], [all[8]![0]]]);
    tf.tidy(() => {
      const x = tf.tensor4d([[[row]], [[row]]]);
      const [first, second] = rope(x, ropeTables(5, 1, 6, 10000)).arraySync();
      expect(second).toEqual(first);
    });
  });

  test("the angle of a late position is rounded to float32, as PyTorch rounds it", () => {
    // d_head 4, base 10000: the frequency is fround(1/100) = 0.00999999977648, and 30001 times it, 300.00999329, lies
    // between the floats 300.00997925 and 300.01000977. PyTorch gives cos −0.01211887; that of exactly 300.01 is −0.01209812.
    const y = turned([[[0, 1, 0, 0]]], 30001, 10000);
    expect(y[0]![0]![1]).toBeCloseTo(-0.01211887, 7);
  });

  test("pairs that lie side by side are put apart first", () => {
    tf.tidy(() => {
      expect([...apart(tf.tensor4d([[[[1, 2, 3, 4, 5, 6]]]])).dataSync()]).toEqual([1, 3, 5, 2, 4, 6]);
    });
  });
});
