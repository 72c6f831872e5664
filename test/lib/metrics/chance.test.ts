import { describe, expect, test } from "vitest";
import { meanOfDraws, quantile, simulate, withMean } from "../../../lib/metrics/chance.ts";

const draw = (): { x: number } => ({ x: 1 });

describe("simulate", () => {
  test("finds mean and central 95 % of a known distribution", () => {
    const { value } = simulate("simulated", (uniform) => ({ value: uniform() }), { draws: 20_000, seed: 3 });
    expect(value.mean).toBeCloseTo(0.5, 2);
    expect(value.low).toBeCloseTo(0.025, 2);
    expect(value.high).toBeCloseTo(0.975, 2);
    expect(value.method).toBe("simulated");
  });

  test("repeats itself for the same seed, and tells how far it is", () => {
    const progress: number[] = [];
    const run = (): number =>
      simulate("shuffled", (uniform) => ({ x: uniform() }), { draws: 3, onProgress: (done) => progress.push(done) }).x
        .mean;
    expect(run()).toBe(run());
    expect(progress).toEqual([1, 2, 3, 1, 2, 3]);
  });

  test("refuses a number of draws that gives no interval", () => {
    expect(() => simulate("simulated", draw, { draws: 1 })).toThrow(
      "simulate: draws must be a whole number of at least 2, got 1",
    );
    expect(() => simulate("simulated", draw, { draws: 2.5 })).toThrow(RangeError);
    expect(() => simulate("simulated", draw, { seed: 0.5 })).toThrow("simulate: seed must be a whole number, got 0.5");
  });
});

test("withMean keeps the interval and says that the mean is exact", () => {
  expect(withMean({ mean: 1, low: 0, high: 2, method: "simulated" }, 1.5)).toEqual({
    mean: 1.5,
    low: 0,
    high: 2,
    method: "exact",
  });
});

test("meanOfDraws has the mean and the spread of n draws", () => {
  // 0, 1 or 3 with 1/2, 1/4, 1/4: mean 1, variance 10/4 − 1 = 1.5; of 600 draws the deviation is 0.05.
  const { mean, low, high } = meanOfDraws([0, 1, 3], [0.5, 0.25, 0.25], 600, { draws: 4000 });
  expect(mean).toBe(1);
  expect(low).toBeCloseTo(1 - 1.96 * 0.05, 2);
  expect(high).toBeCloseTo(1 + 1.96 * 0.05, 2);
});

test("quantile lies between neighbours", () => {
  const values = Float64Array.from([1, 2, 4]);
  expect([0, 0.25, 0.5, 0.75, 1].map((q) => quantile(values, q))).toEqual([1, 1.5, 2, 3, 4]);
});
