import { describe, expect, test } from "vitest";
import { binomial, seeded, shuffle } from "../../../lib/metrics/random.ts";

const stream = (seed: number): number[] => Array.from({ length: 5 }, seeded(seed));

describe("seeded", () => {
  test("gives the same stream for the same seed and another for another", () => {
    expect(stream(3)).toEqual(stream(3));
    expect(stream(3)).not.toEqual(stream(4));
  });

  test("is uniform: 100,000 numbers fall evenly into 64 bins", () => {
    const uniform = seeded(1);
    const bins = new Float64Array(64);
    for (let i = 0; i < 100_000; i++) bins[Math.floor(uniform() * 64)]! += 1;
    const chiSquare = bins.reduce((sum, n) => sum + (n - 1562.5) ** 2 / 1562.5, 0);
    expect(chiSquare).toBeLessThan(103.4); // 0.1 % of chi-square with 63 degrees of freedom
  });
});

describe("binomial", () => {
  // Both ways of drawing, and the reflection of p above a half.
  test.each([
    { n: 5, p: 0.3 },
    { n: 400, p: 0.02 },
    { n: 60, p: 0.25 },
    { n: 1000, p: 0.5 },
    { n: 200, p: 0.93 },
  ])("has the probabilities of n = $n, p = $p", ({ n, p }) => {
    const uniform = seeded(11);
    const draws = 200_000;
    const seen = new Float64Array(n + 1);
    for (let i = 0; i < draws; i++) seen[binomial(n, p, uniform)]! += 1;
    let [probability, chiSquare, cells, pooledSeen, pooledExpected] = [(1 - p) ** n, 0, 0, 0, 0];
    for (let k = 0; k <= n; k++) {
      pooledSeen += seen[k]!;
      pooledExpected += draws * probability;
      probability *= ((n - k) / (k + 1)) * (p / (1 - p));
      if (pooledExpected < 20) continue;
      chiSquare += (pooledSeen - pooledExpected) ** 2 / pooledExpected;
      [cells, pooledSeen, pooledExpected] = [cells + 1, 0, 0];
    }
    // About normal with mean (cells − 1) and variance twice that; 4 deviations.
    expect(chiSquare).toBeLessThan(cells - 1 + 4 * Math.sqrt(2 * cells));
  });

  test("has the mean and variance of a large count", () => {
    const uniform = seeded(2);
    const values = Array.from({ length: 20_000 }, () => binomial(1e7, 0.125, uniform));
    const mean = values.reduce((a, b) => a + b) / values.length;
    const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
    expect(Math.abs(mean - 1.25e6)).toBeLessThan(4 * Math.sqrt(1.09375e6 / 20_000));
    expect(variance / 1.09375e6).toBeGreaterThan(0.96);
    expect(variance / 1.09375e6).toBeLessThan(1.04);
  });

  test("is certain where nothing is left to chance", () => {
    const uniform = seeded(1);
    expect([binomial(0, 0.5, uniform), binomial(9, 0, uniform), binomial(9, 1, uniform)]).toEqual([0, 0, 9]);
  });
});

test("shuffle brings every value to every place equally often", () => {
  const uniform = seeded(5);
  const seen = new Float64Array(16);
  for (let i = 0; i < 8000; i++) {
    const values = Int32Array.from([0, 1, 2, 3]);
    shuffle(values, uniform);
    for (const [place, value] of values.entries()) seen[place * 4 + value]! += 1;
  }
  for (const n of seen) expect(Math.abs(n - 2000)).toBeLessThan(4.5 * Math.sqrt(1500));
});
