import { describe, expect, test } from "vitest";
import { seeded } from "../../../lib/metrics/random.ts";
import { addUniformCounts, overlapProbabilities } from "../../../lib/metrics/uniformRouting.ts";
import { everyChoice } from "./traces.ts";

describe("addUniformCounts", () => {
  test("hands out top_k assignments for each token and no more than one to an expert", () => {
    const counts = new Float64Array(6);
    addUniformCounts(counts, 50, 4, seeded(1));
    expect(counts.reduce((a, b) => a + b)).toBe(200);
    expect(Math.max(...counts)).toBeLessThanOrEqual(50);
    addUniformCounts(counts, 10, 6, seeded(2));
    expect(counts.reduce((a, b) => a + b)).toBe(260);
  });

  test("gives each outcome of two tokens with 2 of 3 experts its probability", () => {
    // 9 equally likely pairs of sets: three times the same set twice (2,2,0), six times (2,1,1).
    const uniform = seeded(3);
    const seen = new Map<string, number>();
    for (let i = 0; i < 9000; i++) {
      const counts = new Float64Array(3);
      addUniformCounts(counts, 2, 2, uniform);
      seen.set(counts.join(), (seen.get(counts.join()) ?? 0) + 1);
    }
    for (const outcome of ["2,2,0", "2,0,2", "0,2,2"]) expect(Math.abs(seen.get(outcome)! - 1000)).toBeLessThan(120);
    for (const outcome of ["2,1,1", "1,2,1", "1,1,2"]) expect(Math.abs(seen.get(outcome)! - 2000)).toBeLessThan(160);
  });

  test("has the covariance of draws without replacement", () => {
    // One token with k of E: variance q(1−q) with q = k/E, covariance −q(1−q)/(E−1); for T tokens T times that.
    const uniform = seeded(4);
    let [mean, square, product] = [0, 0, 0];
    for (let i = 0; i < 20_000; i++) {
      const counts = new Float64Array(8);
      addUniformCounts(counts, 100, 2, uniform);
      mean += counts[7]! / 20_000;
      square += (counts[7]! - 25) ** 2 / 20_000;
      product += ((counts[7]! - 25) * (counts[0]! - 25)) / 20_000;
    }
    expect(mean).toBeCloseTo(25, 0);
    expect(Math.abs(square - 18.75)).toBeLessThan(0.8);
    expect(Math.abs(product + 18.75 / 7)).toBeLessThan(0.6);
  });
});

describe("overlapProbabilities", () => {
  test.each([
    [5, 2],
    [6, 3],
    [4, 3],
    [3, 3],
  ])("agrees with counting all choices of %i experts, %i at a time", (nExperts, topK) => {
    const fixed = Array.from({ length: topK }, (_, e) => e);
    const sets = everyChoice(nExperts, topK);
    const expected = Array.from(
      { length: topK + 1 },
      (_, m) => sets.filter((set) => set.filter((e) => fixed.includes(e)).length === m).length / sets.length,
    );
    for (const [m, p] of overlapProbabilities(nExperts, topK).entries()) expect(p).toBeCloseTo(expected[m]!, 12);
  });

  test.each([
    // Published chance of "any overlap": Mixtral's Table 5 prints 46.4 %.
    [8, 2, 0.464],
    [16, 4, 0.728],
    [64, 8, 0.679],
    [128, 8, 0.412],
    [256, 8, 0.227],
  ])("gives two sets out of %i experts, %i each, the known chance to meet", (nExperts, topK, any) => {
    expect(1 - overlapProbabilities(nExperts, topK)[0]!).toBeCloseTo(any, 3);
  });
});
