import { describe, expect, test } from "vitest";
import { combinations } from "../../../lib/article/combinations.ts";

describe("combinations", () => {
  test("of 4 of DBRX's 16 experts are 1820", () => {
    expect(combinations(16, 4)).toBe(1820n);
    expect([combinations(5, 0), combinations(5, 5), combinations(5, 1)]).toEqual([1n, 1n, 5n]);
  });

  test("are exact where a float is not: C(512, 10) is what two halves of 256 give together", () => {
    const halves = Array.from({ length: 11 }, (_, i) => combinations(256, i) * combinations(256, 10 - i));
    expect(combinations(512, 10)).toBe(halves.reduce((a, b) => a + b));
    expect(combinations(512, 10)).toBeGreaterThan(BigInt(Number.MAX_SAFE_INTEGER));
  });

  test("of DBRX are 65 times Mixtral's", () => {
    expect(combinations(16, 4) / combinations(8, 2)).toBe(65n);
  });

  test("refuse to choose more than there are, or parts of things", () => {
    expect(() => combinations(4, 5)).toThrow("combinations: k must be a whole number from 0 to n (4), got 5");
    expect(() => combinations(4.5, 2)).toThrow("combinations: k must be a whole number from 0 to n (4.5), got 2");
  });
});
