import { expect, test } from "vitest";
import { softmax } from "../../../lib/decode/softmax.ts";

test("softmax gives odds of e to the difference, and probabilities that sum to 1", () => {
  const x = Float32Array.from([1, 3, 2], Math.log);
  softmax(x);
  for (const [i, p] of [1 / 6, 1 / 2, 1 / 3].entries()) expect(x[i]).toBeCloseTo(p, 6);
});

test("softmax of scores whose exponentials overflow is that of their differences", () => {
  const x = Float32Array.of(1000, 1000, -Infinity);
  softmax(x);
  expect([...x]).toEqual([0.5, 0.5, 0]);
});
