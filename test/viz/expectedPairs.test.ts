import { describe, expect, test } from "vitest";
import { expectedPairs } from "../../viz/expectedPairs.ts";

/** Every set of k of n, each as likely as the product of its odds: rates of one and of two, by enumeration. */
function enumerate(odds: readonly number[], k: number): { rates: number[]; both: number[][] } {
  const n = odds.length;
  const rates = odds.map(() => 0);
  const both = odds.map(() => odds.map(() => 0));
  let whole = 0;
  for (let set = 0; set < 2 ** n; set++) {
    const members = odds.map((_, i) => i).filter((i) => (set >> i) & 1);
    if (members.length !== k) continue;
    const weight = members.reduce((product, i) => product * odds[i]!, 1);
    whole += weight;
    for (const i of members) {
      rates[i]! += weight;
      for (const j of members) both[i]![j]! += weight;
    }
  }
  return { rates: rates.map((r) => r / whole), both: both.map((row) => row.map((w) => w / whole)) };
}

describe("expectedPairs", () => {
  test.each([
    { n: 4, k: 2 },
    { n: 8, k: 2 },
    { n: 16, k: 4 },
    { n: 128, k: 8 },
  ])("gives k (k − 1) / (n (n − 1)) for even loads of $k of $n", ({ n, k }) => {
    const both = expectedPairs(new Float64Array(n).fill(k / n), k);
    for (let i = 0; i < n; i += 3)
      for (let j = 0; j < n; j += 5)
        expect(both[i * n + j]).toBeCloseTo(i === j ? k / n : (k * (k - 1)) / (n * (n - 1)), 10);
  });

  test.each([
    { odds: [1, 2, 0.5, 4], k: 2 },
    { odds: [1, 1, 9, 0.1, 3, 0.7], k: 3 },
    { odds: [5, 1, 0.02, 2, 2, 8, 0.3], k: 4 },
  ])("finds the set odds $odds again from their rates alone", ({ odds, k }) => {
    const { rates, both } = enumerate(odds, k);
    const found = expectedPairs(rates, k);
    for (const [i, row] of both.entries())
      for (const [j, rate] of row.entries()) expect(found[i * odds.length + j]).toBeCloseTo(rate, 8);
  });

  test("keeps the loads: what one expert shares with all others is k − 1 times its rate", () => {
    const rates = [0.9, 0.7, 0.2, 0.15, 0.65, 0.4];
    const both = expectedPairs(rates, 3);
    for (const [i, rate] of rates.entries()) {
      const others = rates.reduce((sum, _, j) => sum + (j === i ? 0 : both[i * 6 + j]!), 0);
      expect(others).toBeCloseTo(2 * rate, 8);
    }
  });

  test("leaves unused experts alone, and lets one that is always used meet each of the others as often as it is used", () => {
    const both = expectedPairs([1, 0.5, 0.5, 0], 2);
    expect([...both]).toEqual([1, 0.5, 0.5, 0, 0.5, 0.5, 0, 0, 0.5, 0, 0.5, 0, 0, 0, 0, 0]);
  });

  test("allows all experts for every token", () => {
    expect([...expectedPairs([1, 1], 2)]).toEqual([1, 1, 1, 1]);
  });
});
