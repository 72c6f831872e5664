import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { jensenShannon } from "../../../lib/metrics/jensenShannon.ts";

const row = fc
  .array(fc.integer({ min: 0, max: 50 }), { minLength: 4, maxLength: 4 })
  .filter((counts) => counts.some((n) => n > 0));
const rows = fc.array(row, { minLength: 1, maxLength: 5 });

describe("jensenShannon", () => {
  test("is a bit between two distributions with nothing in common, and log2 of their number for more", () => {
    const third = [0, 0, 1];
    expect(jensenShannon([[1, 0, 0], third])).toBeCloseTo(1, 12);
    expect(jensenShannon([[1, 0, 0], [0, 1, 0], third])).toBeCloseTo(Math.log2(3), 12);
  });

  test("measures a pair worked by hand", () => {
    // Mixture (3/4, 1/4): H = 2 − ¾ log2 3; the rows have 0 and 1 bit.
    expect(
      jensenShannon([
        [1, 0],
        [1, 1],
      ]),
    ).toBeCloseTo(2 - 0.75 * Math.log2(3) - 0.5, 12);
    // Weights 1 and 3: mixture (5/8, 3/8), within ¾ bit.
    const across = -(5 / 8) * Math.log2(5 / 8) - (3 / 8) * Math.log2(3 / 8);
    expect(
      jensenShannon(
        [
          [1, 0],
          [1, 1],
        ],
        [1, 3],
      ),
    ).toBeCloseTo(across - 0.75, 12);
  });

  test("does not mind scale, nor the order of experts or of groups, and stays between 0 and log2 D", () => {
    fc.assert(
      fc.property(rows, fc.integer({ min: 1, max: 9 }), (given, scale) => {
        const bits = jensenShannon(given);
        expect(bits).toBeGreaterThanOrEqual(0);
        expect(bits).toBeLessThanOrEqual(Math.log2(given.length) + 1e-9);
        const moved = given.toReversed().map((counts) => counts.toReversed().map((n) => n * scale));
        expect(jensenShannon(moved)).toBeCloseTo(bits, 9);
        expect(jensenShannon([...given, ...given])).toBeCloseTo(bits, 9);
      }),
    );
  });

  test("is 0 for equal distributions and for one", () => {
    expect(
      jensenShannon([
        [2, 1, 0],
        [4, 2, 0],
      ]),
    ).toBeCloseTo(0, 12);
    expect(jensenShannon([[2, 1, 0]])).toBe(0);
  });

  test("ignores a group of weight 0", () => {
    expect(
      jensenShannon(
        [
          [1, 0],
          [0, 1],
          [1, 1],
        ],
        [1, 1, 0],
      ),
    ).toBeCloseTo(1, 12);
  });

  test("refuses what are no distributions", () => {
    expect(() => jensenShannon([])).toThrow("jensenShannon: there must be at least one distribution, got none");
    expect(() => jensenShannon([[1], [1, 2]])).toThrow(
      "jensenShannon: distributions must have the same length (1), got 2",
    );
    expect(() => jensenShannon([[1, -1]])).toThrow("distribution 0 must hold numbers of at least 0, got -1");
    expect(() =>
      jensenShannon([
        [1, 1],
        [0, 0],
      ]),
    ).toThrow("distribution 1 must sum to more than 0, got 0");
    expect(() => jensenShannon([[1, Number.NaN]])).toThrow(RangeError);
    expect(() => jensenShannon([[1, 1]], [1, 2])).toThrow("one weight for each distribution (1), got 2");
    expect(() => jensenShannon([[1, 1]], [0])).toThrow("the weights must sum to more than 0, got 0");
  });
});
