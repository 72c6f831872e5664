import { describe, expect, test } from "vitest";
import { loadChance } from "../../../lib/metrics/loadChance.ts";
import { loadShape } from "../../../lib/metrics/loadShape.ts";
import { loadStatistics } from "../../../lib/metrics/loadStatistics.ts";
import { randomTrace } from "./traces.ts";

describe("loadStatistics", () => {
  test("gives shares, the first expert with the largest count, and chance beside every number", () => {
    const load = loadStatistics([10, 30, 30, 10], { topK: 2 });
    expect([...load.share]).toEqual([0.125, 0.375, 0.375, 0.125]);
    expect([load.argmax, load.nTokens, load.maxVio]).toEqual([1, 40, 0.5]);
    expect(Object.keys(load.chance).sort()).toEqual([...Object.keys(loadShape([1])), "share"].sort());
  });

  test.each([
    { nExperts: 16, topK: 4 },
    { nExperts: 64, topK: 8 },
    { nExperts: 8, topK: 2 },
  ])("finds random routers of $topK of $nExperts within their interval", (size) => {
    const chance = loadChance({ ...size, nTokens: 300 });
    const inside: Record<string, number> = {};
    for (let seed = 1; seed <= 100; seed++) {
      const counts = new Float64Array(size.nExperts);
      for (const expert of randomTrace({ ...size, nTokens: 300, seed }).expertIndices) counts[expert]! += 1;
      const load = loadStatistics(counts, { topK: size.topK, chance });
      for (const name of Object.keys(loadShape([1])) as (keyof ReturnType<typeof loadShape>)[]) {
        const within = load[name] >= chance[name].low && load[name] <= chance[name].high;
        inside[name] = (inside[name] ?? 0) + Number(within);
      }
    }
    // 95 of 100 expected with a deviation of 2.2; the maximum is discrete, so it may be inside more often.
    for (const [name, n] of Object.entries(inside)) expect(n, name).toBeGreaterThanOrEqual(87);
  });

  test("calls a concentrated load concentrated", () => {
    const load = loadStatistics([400, 200, 200, 200], { topK: 2 });
    expect(load.maxVio).toBeGreaterThan(load.chance.maxVio.high);
    expect(load.normalizedEntropy).toBeLessThan(load.chance.normalizedEntropy.low);
  });

  test("has no argmax and no numbers without assignments", () => {
    const load = loadStatistics([0, 0], { draws: 10 });
    expect(load.argmax).toBe(-1);
    for (const value of [...load.share, load.cv, load.gini, load.chance.hhi.mean, load.chance.share.low])
      expect(value).toBeNaN();
  });

  test("has chance equal to the value where one expert takes all by necessity", () => {
    const load = loadStatistics([6, 6], { topK: 2, draws: 10 });
    expect(load.chance.cv).toMatchObject({ mean: 0, low: 0, high: 0 });
    expect(load.chance.share).toMatchObject({ mean: 0.5, low: 0.5, high: 0.5 });
  });

  test("refuses counts that tokens cannot give", () => {
    expect(() => loadStatistics([1.5, 0.5])).toThrow("loadStatistics: a count must be a whole number, got 1.5");
    expect(() => loadStatistics([3, 2], { topK: 2 })).toThrow(
      "loadStatistics: the counts' sum must be a multiple of topK (2), got 5",
    );
    expect(() => loadStatistics([4, 1, 1], { topK: 2 })).toThrow(
      "loadStatistics: a count must be at most the number of tokens (3), got 4",
    );
  });
});
