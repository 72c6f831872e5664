import { describe, expect, test } from "vitest";
import { coverage } from "../../../lib/metrics/coverage.ts";
import { mean, randomTrace, SIX, traceOf } from "./traces.ts";

describe("coverage", () => {
  test("counts the experts that whole windows within sequences need", () => {
    // Windows of 2: (0,1)(0,2) | (1,0)(2,1) (2,0)(1,2): three experts each, counts 2,1,1.
    const [layer] = coverage(SIX, { window: 2, fraction: 0.5, draws: 5 });
    expect(layer!.nWindows).toBe(3);
    expect([layer!.distinct.value, layer!.share.value, layer!.toReach.value]).toEqual([3, 1, 1]);
    expect(coverage(SIX, { window: 2, fraction: 0.75, draws: 5 })[0]!.toReach.value).toBe(2);
    expect(coverage(SIX, { window: 2, fraction: 1, draws: 5 })[0]!.toReach.value).toBe(3);
    expect(coverage(SIX, { window: 3, draws: 5 })[0]!.nWindows).toBe(1);
  });

  test.each([
    { nExperts: 16, topK: 4, window: 4 },
    { nExperts: 64, topK: 8, window: 8 },
  ])("finds a random router of $topK of $nExperts within chance", ({ nExperts, topK, window }) => {
    let inside = 0;
    const values: number[] = [];
    for (let seed = 1; seed <= 40; seed++) {
      const [layer] = coverage(randomTrace({ nExperts, topK, nTokens: 40 * window, seed }), { window });
      for (const { value, chance } of [layer!.distinct, layer!.toReach])
        inside += Number(value >= chance.low && value <= chance.high);
      values.push(layer!.distinct.value);
      expect(layer!.distinct.chance.mean).toBeCloseTo(nExperts * (1 - (1 - topK / nExperts) ** window), 12);
    }
    expect(inside).toBeGreaterThanOrEqual(68); // 76 expected
    expect(mean(values)).toBeCloseTo(nExperts * (1 - (1 - topK / nExperts) ** window), 0.8);
  });

  test("has no number where no window fits", () => {
    const [layer] = coverage(SIX, { window: 5, draws: 3 });
    expect([layer!.nWindows, layer!.distinct.value, layer!.distinct.chance.mean]).toEqual([0, Number.NaN, Number.NaN]);
    expect(coverage(traceOf({ nExperts: 2, topK: 1, indices: [] }), { window: 1, draws: 2 })[0]!.nWindows).toBe(0);
  });

  test("refuses windows and fractions that are none", () => {
    expect(() => coverage(SIX, { window: 0 })).toThrow("coverage: window must be a whole number of at least 1, got 0");
    expect(() => coverage(SIX, { window: 1, fraction: 1.1 })).toThrow(
      "coverage: fraction must be above 0 and at most 1, got 1.1",
    );
  });
});
