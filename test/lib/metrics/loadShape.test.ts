import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { loadShape } from "../../../lib/metrics/loadShape.ts";

const counts = fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 40 }).filter((all) => {
  return all.some((n) => n > 0);
});

describe("loadShape", () => {
  test("measures a load worked by hand", () => {
    // Shares 1/2, 1/4, 1/4, 0: mean 1/4, variance (1/16 + 0 + 0 + 1/16)/4 = 1/32; entropy 1.5 bits = 1.5 ln 2 nats.
    const shape = loadShape([4, 2, 2, 0]);
    expect(shape.maxShare).toBe(0.5);
    expect(shape.maxVio).toBe(1);
    expect(shape.cv).toBeCloseTo(4 / Math.sqrt(32), 12);
    expect(shape.normalizedEntropy).toBeCloseTo(0.75, 12);
    expect(shape.effectiveExperts).toBeCloseTo(2 ** 1.5, 12);
    expect(shape.hhi).toBe(0.375);
    expect(shape.inverseHhi).toBeCloseTo(8 / 3, 12);
    expect(shape.jain).toBeCloseTo(2 / 3, 12);
    // Mean absolute difference over twice the mean: |differences| of the 16 ordered pairs sum to 2(4+2+2+2+2+0+...).
    expect(shape.gini).toBeCloseTo((2 * (2 + 2 + 4 + 0 + 2 + 2)) / (2 * 16 * 2), 12);
  });

  test("knows the ends: all equal, and all on one expert", () => {
    const even = loadShape([7, 7, 7, 7]);
    const one = loadShape([0, 9, 0, 0]);
    const numbers = { maxShare: 0.25, cv: 0, maxVio: 0, normalizedEntropy: 1, gini: 0, hhi: 0.25 };
    for (const [name, value] of Object.entries({ ...numbers, inverseHhi: 4, effectiveExperts: 4, jain: 1 }))
      expect(even[name as keyof typeof even], name).toBeCloseTo(value, 12);
    const ends = { maxShare: 1, cv: Math.sqrt(3), maxVio: 3, normalizedEntropy: 0, gini: 0.75, hhi: 1 };
    for (const [name, value] of Object.entries({ ...ends, inverseHhi: 1, effectiveExperts: 1, jain: 0.25 }))
      expect(one[name as keyof typeof one], name).toBeCloseTo(value, 12);
  });

  test("is the same for any order of the experts and any scale of the counts", () => {
    fc.assert(
      fc.property(counts, fc.integer({ min: 2, max: 9 }), fc.integer(), (given, scale, seed) => {
        const moved = given.map((_, i) => given[(i + (Math.abs(seed) % given.length)) % given.length]!);
        const shape = loadShape(given);
        const other = loadShape(moved.map((n) => n * scale));
        for (const name of Object.keys(shape) as (keyof typeof shape)[])
          expect(other[name], name).toBeCloseTo(shape[name], 9);
      }),
    );
  });

  test("keeps the known relations: cv² = E·hhi − 1, effective experts between 1/hhi and E", () => {
    fc.assert(
      fc.property(counts, (given) => {
        const { cv, hhi, inverseHhi, effectiveExperts } = loadShape(given);
        expect(cv ** 2).toBeCloseTo(given.length * hhi - 1, 9);
        expect(effectiveExperts).toBeGreaterThan(inverseHhi - 1e-9);
        expect(effectiveExperts).toBeLessThan(given.length + 1e-9);
      }),
    );
  });

  test("is not a number where nothing was counted, and even where there is one expert", () => {
    for (const value of Object.values(loadShape([0, 0, 0]))) expect(value).toBeNaN();
    expect(loadShape([5])).toEqual({
      maxShare: 1,
      cv: 0,
      maxVio: 0,
      normalizedEntropy: 1,
      gini: 0,
      hhi: 1,
      inverseHhi: 1,
      effectiveExperts: 1,
      jain: 1,
    });
  });

  test("refuses what is no load", () => {
    expect(() => loadShape([])).toThrow("loadShape: counts must hold at least one expert, got none");
    expect(() => loadShape([1, -1])).toThrow("loadShape: a count must be a number of at least 0, got -1");
    expect(() => loadShape([1, Number.NaN])).toThrow(RangeError);
    expect(() => loadShape([1, Infinity])).toThrow(RangeError);
  });
});
