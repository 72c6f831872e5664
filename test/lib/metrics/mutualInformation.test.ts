import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jensenShannon } from "../../../lib/metrics/jensenShannon.ts";
import { mutualInformation } from "../../../lib/metrics/mutualInformation.ts";
import { seeded } from "../../../lib/metrics/random.ts";
import { mean } from "./traces.ts";

const table = fc
  .array(fc.array(fc.integer({ min: 0, max: 30 }), { minLength: 3, maxLength: 3 }), { minLength: 2, maxLength: 4 })
  .filter((rows) => rows.flat().some((n) => n > 0));

function independent(nRows: number, nColumns: number, n: number, seed: number): number[][] {
  const uniform = seeded(seed);
  const counts = Array.from({ length: nRows }, () => Array.from({ length: nColumns }, () => 0));
  for (let i = 0; i < n; i++) counts[Math.floor(uniform() * nRows)]![Math.floor(uniform() * nColumns)]! += 1;
  return counts;
}

describe("mutualInformation", () => {
  test("is the entropy of a variable that the other determines, and 0 of an independent one", () => {
    const same = mutualInformation([
      [5, 0, 0, 0],
      [0, 5, 0, 0],
      [0, 0, 5, 0],
      [0, 0, 0, 5],
    ]);
    expect(same.value).toBeCloseTo(2, 12);
    expect(same.normalized).toBeCloseTo(1, 12);
    expect(same.corrected).toBeCloseTo(2 - 9 / (40 * Math.LN2), 12);
    const none = mutualInformation([
      [2, 4],
      [3, 6],
    ]);
    expect(none.value).toBeCloseTo(0, 12);
    expect(none.nSamples).toBe(15);
  });

  test("is the Jensen-Shannon divergence of the rows weighted by their size", () => {
    fc.assert(
      fc.property(table, (rows) => {
        const used = rows.filter((row) => row.some((n) => n > 0));
        const sizes = used.map((row) => row.reduce((a, b) => a + b));
        expect(mutualInformation(rows).value).toBeCloseTo(jensenShannon(used, sizes), 9);
      }),
    );
  });

  test("is symmetric and does not mind the order of values", () => {
    fc.assert(
      fc.property(table, (rows) => {
        const turned = rows[0]!.map((_, c) => rows.map((row) => row[c]!)).toReversed();
        expect(mutualInformation(turned).value).toBeCloseTo(mutualInformation(rows).value, 9);
        expect(mutualInformation(turned).chance.mean).toBeCloseTo(mutualInformation(rows).chance.mean, 12);
      }),
    );
  });

  test("has the published bias of two layers of 64 experts over 208,896 tokens", () => {
    const counts = Array.from({ length: 64 }, () => new Float64Array(64).fill(51));
    expect(mutualInformation(counts).nSamples).toBe(208_896);
    expect(mutualInformation(counts).chance.mean).toBeCloseTo(63 ** 2 / (2 * 208_896 * Math.LN2), 12);
    expect(mutualInformation(counts).chance.mean).toBeCloseTo(0.014, 3);
  });

  test.each([
    [4, 4, 500],
    [16, 16, 6000],
    [2, 2, 100],
  ])("finds independent variables of %i and %i values within chance", (nRows, nColumns, n) => {
    const found = Array.from({ length: 300 }, (_, seed) => mutualInformation(independent(nRows, nColumns, n, seed)));
    const { low, high, mean: bias } = found[0]!.chance;
    const deviation = Math.sqrt(mean(found.map(({ value }) => (value - bias) ** 2)));
    expect(Math.abs(mean(found.map(({ corrected }) => corrected)))).toBeLessThan(4 * (deviation / Math.sqrt(300)));
    const inside = found.filter(({ value }) => value >= low && value <= high).length;
    expect(inside).toBeGreaterThan(270); // 285 expected, deviation 3.8
    expect(inside).toBeLessThan(300);
  });

  test("counts only values that occur in the bias, and is not a number without samples", () => {
    expect(
      mutualInformation([
        [1, 0],
        [2, 0],
      ]).chance,
    ).toMatchObject({ mean: 0, low: 0, high: 0 });
    const nothing = mutualInformation([[0, 0]]);
    expect([nothing.value, nothing.corrected, nothing.normalized]).toEqual([Number.NaN, Number.NaN, Number.NaN]);
    expect(mutualInformation([]).value).toBeNaN();
  });

  test("refuses what are no counts", () => {
    expect(() => mutualInformation([[1, 2], [1]])).toThrow(
      "mutualInformation: rows must have the same length (2), got 1",
    );
    expect(() => mutualInformation([[1, -2]])).toThrow(
      "mutualInformation: a count must be a number of at least 0, got -2",
    );
  });
});
