import { describe, expect, test } from "vitest";
import { coactivation as countTogether } from "../../lib/metrics/coactivation.ts";
import { coactivation, type PairCounts } from "../../viz/coactivation.ts";
import { byLine, largeTrace, SMALL } from "./samples.ts";

const PAIRS = countTogether(SMALL);

/** 400 tokens, two of four experts: 0 and 1 always together, as 2 and 3 are. */
const SPLIT: PairCounts = {
  layer: 5,
  pairs: "all",
  nTokens: 400,
  counts: Float64Array.from([200, 200, 200, 200]),
  together: Float64Array.from([0, 200, 0, 0, 200, 0, 0, 0, 0, 0, 0, 200, 0, 0, 200, 0]),
};

describe("coactivation", () => {
  test("draws four experts", async () => {
    await expect(byLine(coactivation([SPLIT]).svg)).toMatchFileSnapshot("snapshots/coactivation.svg");
  });

  test("compares with choices without replacement", () => {
    // Even loads, 2 of 4: each of the six pairs on 2·1 / (4·3) of 400 tokens; 200 is three times that.
    const { data, text } = coactivation([SPLIT]);
    expect(data.expected[1]).toBeCloseTo(400 / 6, 8);
    expect(data.ratio[1]).toBeCloseTo(Math.log2(3), 8);
    expect(data.ratio[2]).toBe(-Infinity);
    expect(data.ratio[0]).toBeNaN();
    expect([...data.beyond]).toEqual(
      [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1].map((_, i) => Number(i % 5 !== 0)),
    );
    expect(text).toContain(
      "400 tokens, 2 of 4 experts each; 6 of 6 pairs beyond the 95 % of chance, by chance at most 0.",
    );
    expect(text).toContain("Furthest from chance: experts 0 and 2, together on 0 tokens, expected 66.7, 0 ×.");
  });

  test("halves what is expected on adjacent ranks of top-4", () => {
    const trace = largeTrace(200, 8, 4, 1);
    const [all, adjacent] = (["all", "adjacentRank"] as const).map(
      (pairs) => coactivation(countTogether(trace, { pairs })).data,
    );
    expect(adjacent!.expected[1]! / all!.expected[1]!).toBeCloseTo(0.5, 9);
  });

  test("finds about as many pairs beyond chance as chance gives where experts are drawn at random", () => {
    const { data } = coactivation(countTogether(largeTrace(2000, 32, 4, 1)));
    const beyond = data.beyond.reduce((sum, is) => sum + is, 0) / 2;
    expect(beyond).toBeGreaterThan(4);
    expect(beyond).toBeLessThan(45);
  });

  test("takes a layer by its number and experts in the order listed", () => {
    const { data, title } = coactivation(PAIRS, { layer: 2, experts: [3, 1] });
    expect(title).toBe("Experts chosen together in layer 2, against chance");
    // Layer 2: (1,2) (1,3) (2,1): expert 3 on one token, with 1; expert 1 on all three.
    expect([data.experts, [...data.counts], data.together[1]]).toEqual([[3, 1], [1, 3], 1]);
  });

  test("puts experts that meet often side by side where asked", () => {
    const mixed = { ...SPLIT, together: Float64Array.from([0, 0, 200, 0, 0, 0, 0, 200, 200, 0, 0, 0, 0, 200, 0, 0]) };
    const { experts } = coactivation([mixed], { order: "likeness" }).data;
    expect([0, 2].includes(experts[0]!) === [0, 2].includes(experts[1]!)).toBe(true);
  });

  test("hatches pairs with an unused expert", () => {
    const unused = coactivation(PAIRS, { layer: 2 }).data;
    expect([...unused.ratio.subarray(0, 4)].every(Number.isNaN)).toBe(true);
  });

  test("refuses what has no pairs or does not fit", () => {
    const top1 = { ...SPLIT, counts: Float64Array.from([100, 100, 100, 100]) };
    expect(() => coactivation([top1])).toThrow(
      "coactivation: counts must sum to 2 or more choices for each token, got 1",
    );
    expect(() => coactivation([{ ...SPLIT, together: new Float64Array(3) }])).toThrow(
      "coactivation: together must be [n_experts, n_experts] = [4, 4], got 3 numbers",
    );
    expect(() => coactivation(PAIRS, { layer: 1 })).toThrow("coactivation: layer must be one of 0, 2, got 1");
    expect(() => coactivation(PAIRS, { experts: [0, 4] })).toThrow(
      "coactivation: experts must be numbers below 4, got 4",
    );
    expect(() => coactivation(PAIRS, { experts: [1, 1] })).toThrow(
      "coactivation: experts must be 2 to 128 different ones, got 1, 1",
    );
    expect(() => coactivation(PAIRS, { order: "load" as "number" })).toThrow(
      "coactivation: order must be number or likeness, got load",
    );
    expect(() => coactivation([])).toThrow("coactivation: layer must be one of no layers, got undefined");
  });
});
