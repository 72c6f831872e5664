import { describe, expect, test } from "vitest";
import { seeded } from "../../../lib/metrics/random.ts";
import { addUniformCounts } from "../../../lib/metrics/uniformRouting.ts";
import { vocabularyChance } from "../../../lib/metrics/vocabularyChance.ts";
import { everyChoice, mean } from "./traces.ts";

const SEEN = [1, 2, 5, 10, 30, 100, 1000];

describe("vocabularyChance", () => {
  test.each([
    // In percent, from an independent simulation with a standard error of at most 0.03.
    { nExperts: 64, topK: 1, percent: [100, 50.8, 23.0, 15.5, 8.8, 5.1, 2.6] },
    { nExperts: 64, topK: 8, percent: [100, 84.0, 55.0, 41.6, 28.4, 20.8, 15.0] },
    { nExperts: 8, topK: 2, percent: [100, 73.2, 56.3, 47.0, 37.5, 31.7, 27.1] },
    { nExperts: 16, topK: 4, percent: [100, 86.4, 63.2, 51.6, 40.0, 33.1, 27.5] },
  ])("falls with the times an id is seen, for $topK of $nExperts as tabulated", ({ percent, ...size }) => {
    const chance = vocabularyChance(SEEN, size);
    for (const [i, n] of SEEN.entries()) {
      const { mean: expected, deviation } = chance.get(n)!;
      expect(Math.abs(100 * expected - percent[i]!)).toBeLessThan(0.05 + 0.12 + 400 * (deviation / Math.sqrt(1000)));
    }
  });

  test("agrees with counting all choices, where n = 1 and 2 are exact", () => {
    const sets = everyChoice(4, 2);
    const share = (several: number[][]): number =>
      Math.max(...[0, 1, 2, 3].map((e) => several.filter((set) => set.includes(e)).length)) / several.length;
    const twice = sets.flatMap((a) => sets.map((b) => share([a, b])));
    const thrice = sets.flatMap((a) => sets.flatMap((b) => sets.map((c) => share([a, b, c]))));
    const chance = vocabularyChance([3, 2, 1], { nExperts: 4, topK: 2 }, { draws: 20_000 });
    expect(chance.get(1)).toEqual({ mean: 1, deviation: 0 });
    expect(chance.get(2)!.mean).toBeCloseTo(mean(twice), 12);
    expect(chance.get(3)!.mean).toBeCloseTo(mean(thrice), 2);
    expect(chance.get(3)!.deviation ** 2).toBeCloseTo(mean(thrice.map((x) => x * x)) - mean(thrice) ** 2, 2);
  });
});

test("vocabularyChance takes numbers between those it simulates for what they are", () => {
  const size = { nExperts: 16, topK: 4 };
  const between = vocabularyChance([33, 400, 5000], size);
  for (const n of [33, 400, 5000]) {
    const all = Array.from({ length: 3000 }, (_, seed) => {
      const counts = new Float64Array(16);
      addUniformCounts(counts, n, 4, seeded(seed));
      return Math.max(...counts) / n;
    });
    const { mean: expected, deviation } = between.get(n)!;
    expect(Math.abs(mean(all) - expected)).toBeLessThan(4 * deviation * Math.sqrt(1 / 1000 + 1 / 3000));
  }
});
