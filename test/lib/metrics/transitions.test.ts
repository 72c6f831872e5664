import { describe, expect, test } from "vitest";
import { transitions } from "../../../lib/metrics/transitions.ts";
import { randomTrace, traceOf } from "./traces.ts";

// Three tokens, layers 0, 3 and 8, 2 of 3 experts.
const WAYS = traceOf({
  nExperts: 3,
  topK: 2,
  layers: [0, 3, 8],
  indices: [0, 1, 2, 1, 0, 2, 0, 2, 2, 0, 1, 0, 1, 0, 0, 1, 2, 1],
});

function rows(matrix: Float64Array[]): number[][] {
  return matrix.map((row) => [...row]);
}

describe("transitions", () => {
  test("count how first choices go from layer to layer", () => {
    const [first, second] = transitions(WAYS, { draws: 5 });
    expect([first!.from, first!.to, second!.from, second!.to]).toEqual([0, 3, 3, 8]);
    expect(rows(first!.joint)).toEqual([
      [0, 0, 2],
      [1, 0, 0],
      [0, 0, 0],
    ]);
    expect(rows(second!.joint)).toEqual([
      [0, 0, 1],
      [0, 0, 0],
      [1, 1, 0],
    ]);
    expect(rows(second!.conditional)[2]).toEqual([0.5, 0.5, 0]);
    expect(second!.conditional[1]![0]).toBeNaN();
    // First step: determined, so the entropy of 2:1. Log2 3 − 2/3.
    expect(first!.information.value).toBeCloseTo(Math.log2(3) - 2 / 3, 12);
    expect(first!.information.normalized).toBeCloseTo(1, 12);
  });

  test("step over layers as asked", () => {
    const [step] = transitions(WAYS, { layers: [0, 8], draws: 5 });
    expect([step!.from, step!.to]).toEqual([0, 8]);
    expect(rows(step!.joint)).toEqual([
      [1, 1, 0],
      [0, 0, 1],
      [0, 0, 0],
    ]);
  });

  test("pair choices by rank as OLMoE's code does, or all with all", () => {
    const [sameRank] = transitions(WAYS, { layers: [0, 3], pairs: "sameRank", draws: 5 });
    // Ranks: 0→2, 1→1 | 0→2, 2→0 | 1→0, 0→1.
    expect(rows(sameRank!.joint)).toEqual([
      [0, 1, 2],
      [1, 1, 0],
      [1, 0, 0],
    ]);
    const [all] = transitions(WAYS, { layers: [0, 3], pairs: "all", draws: 5 });
    expect(rows(all!.joint)).toEqual([
      [2, 2, 2],
      [1, 2, 1],
      [1, 0, 1],
    ]);
  });

  test("find random layers to know nothing of each other", () => {
    let inside = 0;
    for (let seed = 1; seed <= 40; seed++) {
      const trace = randomTrace({ nExperts: 8, topK: 2, nTokens: 300, layers: [0, 1], seed });
      const { value, chance } = transitions(trace)[0]!.information;
      inside += Number(value >= chance.low && value <= chance.high);
      expect(chance.mean).toBeCloseTo(49 / (600 * Math.LN2), 1.5);
    }
    expect(inside).toBeGreaterThanOrEqual(33); // 38 expected
  });

  test("need rank order for first choices and ranks, but not for all with all", () => {
    const unordered = { ...WAYS, rankOrdered: false };
    expect(() => transitions(unordered)).toThrow("transitions: the trace must keep the experts in order of preference");
    expect(() => transitions(unordered, { pairs: "sameRank" })).toThrow(RangeError);
    expect(transitions(unordered, { pairs: "all", draws: 2 })).toHaveLength(2);
  });

  test("refuse layers that were not traced or go back, and have no step in one layer", () => {
    expect(() => transitions(WAYS, { layers: [0, 4] })).toThrow("transitions: a layer must be one of 0, 3, 8, got 4");
    expect(() => transitions(WAYS, { layers: [3, 0] })).toThrow("transitions: layers must rise, got 0 after 3");
    expect(transitions(WAYS, { layers: [3] })).toEqual([]);
  });
});
