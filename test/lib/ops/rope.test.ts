import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import { rope, ropeTables } from "../../../lib/ops/rope.ts";
import { relativeError, seeded } from "../../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

/** [pos, heads, d_head] turned as positions `start`, `start` + 1, … */
function turned(x: number[][][], start: number, base: number): number[][][] {
  return tf.tidy(() => {
    const [pos, heads, dHead] = [x.length, x[0]!.length, x[0]![0]!.length];
    return rope(tf.tensor4d([x]), ropeTables(start, pos, heads, dHead, base)).arraySync()[0]!;
  });
}

function lengthOf([row]: number[][]): number {
  return Math.hypot(...row!);
}

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
      const [first, second] = rope(x, ropeTables(5, 1, 1, 6, 10000)).arraySync();
      expect(second).toEqual(first);
    });
  });

  test("the angle of a late position is rounded to float32, as PyTorch rounds it", () => {
    // d_head 4, base 10000: the frequency is fround(1/100) = 0.00999999977648, and 30001 times it, 300.00999329, lies
    // between the floats 300.00997925 and 300.01000977. PyTorch gives cos −0.01211887; that of exactly 300.01 is −0.01209812.
    const y = turned([[[0, 1, 0, 0]]], 30001, 10000);
    expect(y[0]![0]![1]).toBeCloseTo(-0.01211887, 7);
  });
});
