import { describe, expect, test } from "vitest";
import { partsOfSum, routeToken } from "../../viz/routeToken.ts";

const LOGITS = [0.2, 0.5, 0.05, 0.25].map(Math.log);
const near = (values: readonly number[]): number[] => values.map((value) => Number(value.toFixed(9)));

describe("routeToken", () => {
  test("goes from logits to probabilities, choice and weights", () => {
    const { exps, sum, probs, chosen, weights, divisor } = routeToken(LOGITS, 2, {
      kind: "softmaxThenTopK",
      normalize: 1,
    });
    expect(near(exps)).toEqual([0.4, 1, 0.1, 0.5]);
    expect(sum).toBeCloseTo(2, 12);
    expect(near(probs)).toEqual([0.2, 0.5, 0.05, 0.25]);
    expect(chosen).toEqual([1, 3]);
    expect(divisor).toBeCloseTo(0.75, 12);
    expect(near(weights)).toEqual(near([2 / 3, 1 / 3]));
  });

  test("scales by the family's rule", () => {
    const weights = (normalize: number | null): number[] =>
      routeToken(LOGITS, 2, { kind: "softmaxThenTopK", normalize }).weights;
    expect(near(weights(null))).toEqual([0.5, 0.25]);
    expect(near(weights(2))).toEqual(near([0.5 / Math.hypot(0.5, 0.25), 0.25 / Math.hypot(0.5, 0.25)]));
    // Softmax of the chosen equals softmax of all, scaled to sum 1.
    expect(near(routeToken(LOGITS, 2, { kind: "topKThenSoftmax" }).weights)).toEqual(near(weights(1)));
  });

  test("prefers the lower expert among equals, and bears any size of logits", () => {
    expect(routeToken([1, 3, 3, 1], 3, { kind: "topKThenSoftmax" }).chosen).toEqual([1, 2, 0]);
    expect(near(routeToken([1000, 999, -1000], 2, { kind: "topKThenSoftmax" }).weights)).toEqual(
      near([1 / (1 + Math.exp(-1)), Math.exp(-1) / (1 + Math.exp(-1))]),
    );
  });
});

describe("partsOfSum", () => {
  test("splits a sum among its summands", () => {
    // 2/3 · (3, 0) + 1/3 · (0, 6) = (2, 2): half each.
    const { parts, length } = partsOfSum([2 / 3, 1 / 3], [9, 0, 0, 36]);
    expect(near(parts)).toEqual([0.5, 0.5]);
    expect(length).toBeCloseTo(Math.sqrt(8), 12);
  });

  test("gives a summand that points the other way a negative part", () => {
    // 0.5 · (4) + 0.5 · (−1) = 1.5.
    expect(near(partsOfSum([0.5, 0.5], [16, -4, -4, 1]).parts)).toEqual(near([2 / 1.5, -0.5 / 1.5]));
    expect(partsOfSum([0.5, 0.5], [1, -1, -1, 1])).toEqual({ parts: [0, 0], length: 0 });
  });
});
