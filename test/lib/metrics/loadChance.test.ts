import { describe, expect, test } from "vitest";
import { loadChance } from "../../../lib/metrics/loadChance.ts";
import { loadShape } from "../../../lib/metrics/loadShape.ts";
import { everyChoice, mean } from "./traces.ts";

function cv(nExperts: number, nTokens: number): number {
  return loadChance({ nExperts, topK: 1, nTokens }).cv.mean;
}

describe("loadChance", () => {
  test.each([
    { nExperts: 3, topK: 1, nTokens: 4 },
    { nExperts: 4, topK: 2, nTokens: 3 },
  ])("agrees with every way that $nTokens tokens can choose $topK of $nExperts", (size) => {
    // Enumerate all routings, each equally likely.
    const sets = everyChoice(size.nExperts, size.topK);
    let routings: number[][] = [Array.from({ length: size.nExperts }, () => 0)];
    for (let t = 0; t < size.nTokens; t++)
      routings = routings.flatMap((counts) => sets.map((set) => counts.map((n, e) => n + Number(set.includes(e)))));
    const shapes = routings.map((counts) => loadShape(counts));
    const chance = loadChance(size, { draws: 20_000 });
    for (const name of Object.keys(shapes[0]!) as (keyof (typeof shapes)[0])[]) {
      const values = shapes.map((shape) => shape[name]);
      const center = mean(values);
      const deviation = Math.sqrt(mean(values.map((value) => (value - center) ** 2)));
      expect(Math.abs(chance[name].mean - center), name).toBeLessThanOrEqual(4.5 * (deviation / Math.sqrt(20_000)));
    }
    expect(chance.hhi.mean).toBeCloseTo(mean(shapes.map(({ hhi }) => hhi)), 12);
    expect(chance.share.mean).toBe(1 / size.nExperts);
  });

  test("says which means are closed forms", () => {
    const chance = loadChance({ nExperts: 8, topK: 2, nTokens: 100 }, { draws: 10 });
    expect([chance.hhi.method, chance.share.method, chance.cv.method]).toEqual(["exact", "exact", "simulated"]);
  });

  test("shrinks with the square root of the tokens and grows with the experts", () => {
    expect(cv(16, 400) / cv(16, 40_000)).toBeCloseTo(10, 0);
    expect(cv(64, 4000)).toBeGreaterThan(cv(8, 4000));
  });

  test("refuses sizes that no router has", () => {
    expect(() => loadChance({ nExperts: 4, topK: 5, nTokens: 1 })).toThrow(
      "loadChance: topK must be a whole number from 1 to nExperts (4), got 5",
    );
    expect(() => loadChance({ nExperts: 4, topK: 1, nTokens: -1 })).toThrow(RangeError);
  });
});
