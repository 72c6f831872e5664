import { expect, test } from "vitest";
import { chiSquareQuantile } from "../../../lib/metrics/chiSquareQuantile.ts";

test("chiSquareQuantile gives what printed tables of the distribution give", () => {
  const table = [
    [1, 0.025, 0.000982],
    [1, 0.975, 5.0239],
    [2, 0.025, 0.0506],
    [5, 0.975, 12.833],
    [10, 0.025, 3.247],
    [30, 0.975, 46.979],
    [100, 0.025, 74.222],
    [100, 0.975, 129.561],
  ] as const;
  for (const [freedom, q, value] of table)
    expect(Math.abs(chiSquareQuantile(freedom, q) / value - 1)).toBeLessThan(0.001);
  expect(chiSquareQuantile(2, 0.5)).toBeCloseTo(2 * Math.LN2, 12); // two degrees are an exponential
});

test("chiSquareQuantile nears a normal distribution for many degrees of freedom, and is 0 for none", () => {
  for (const freedom of [3969, 65_025]) {
    const [low, high] = [chiSquareQuantile(freedom, 0.025), chiSquareQuantile(freedom, 0.975)];
    expect((high - low) / (2 * 1.959964 * Math.sqrt(2 * freedom))).toBeCloseTo(1, 3);
    expect((high + low) / 2 / freedom).toBeCloseTo(1, 3);
  }
  expect(chiSquareQuantile(0, 0.975)).toBe(0);
});
