import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { coactivation } from "../../../lib/metrics/coactivation.ts";
import { countPairs, type PairKind } from "../../../lib/metrics/countPairs.ts";
import { sketch } from "../../../lib/metrics/sketch.ts";
import { everyChoice, mean, randomTrace, traceOf } from "./traces.ts";

// Four tokens, 3 of 4 experts by rank: (0,1,2) (0,2,1) (3,0,1) (1,2,0).
const FOUR = traceOf({ nExperts: 4, topK: 3, indices: [0, 1, 2, 0, 2, 1, 3, 0, 1, 1, 2, 0] });

function offDiagonal(matrix: Float64Array): number[] {
  return Array.from(matrix).filter((value) => !Number.isNaN(value));
}

describe("coactivation", () => {
  test("counts the tokens that use two experts together", () => {
    const [layer] = coactivation(FOUR);
    expect([...layer!.counts]).toEqual([4, 4, 3, 1]);
    const n = Number.NaN;
    expect([...layer!.together]).toEqual([n, 4, 3, 1, 4, n, 3, 1, 3, 3, n, 0, 1, 1, 0, n]);
    expect(layer!.conditional[2]).toBe(3 / 4);
    expect(layer!.conditional[2 * 4]).toBe(1);
    expect(layer!.lift[2]).toBe(1);
    expect(layer!.lift[2 * 4 + 3]).toBe(0);
    expect(layer!.pmi[2 * 4 + 3]).toBe(-Infinity);
  });

  test("counts only neighbours in rank when asked for what OLMoE's code does", () => {
    const [layer] = coactivation(FOUR, { pairs: "adjacentRank" });
    const n = Number.NaN;
    // (0,1) (1,2) | (0,2) (2,1) | (3,0) (0,1) | (1,2) (2,0)
    expect([...layer!.together]).toEqual([n, 2, 2, 1, 2, n, 3, 0, 2, 3, n, 0, 1, 0, 0, n]);
    expect(layer!.conditional[3 * 4]).toBe(1);
  });

  test("has the chance that counting all choices gives, of both kinds", () => {
    const choices = everyChoice(5, 3);
    const all = traceOf({ nExperts: 5, topK: 3, indices: choices.flat() });
    for (const pairs of ["all", "adjacentRank"] as const) {
      const [layer] = coactivation(all, { pairs });
      const { conditional, lift, pmi } = layer!.chance;
      for (const value of offDiagonal(layer!.conditional)) expect(value).toBeCloseTo(conditional.mean, 12);
      for (const value of offDiagonal(layer!.lift)) expect(value).toBeCloseTo(lift.mean, 12);
      for (const value of offDiagonal(layer!.pmi)) expect(value).toBeCloseTo(pmi.mean, 12);
    }
  });

  test.each([
    // Published chance levels: 11.1 % against 2.8 % for 8 of 64, lift 0.89 and 0.8.
    { nExperts: 64, topK: 8, all: 0.111, adjacent: 0.028, lift: 0.89 },
    { nExperts: 16, topK: 4, all: 0.2, adjacent: 0.1, lift: 0.8 },
    { nExperts: 8, topK: 2, all: 0.143, adjacent: 0.143, lift: 0.57 },
  ])("differs by kind of pair for $topK of $nExperts as published, in theory and in simulation", (given) => {
    const trace = randomTrace({ ...given, nTokens: 4000, seed: 5 });
    for (const pairs of ["all", "adjacentRank"] as const) {
      const [layer] = coactivation(trace, { pairs });
      const { conditional } = layer!.chance;
      expect(conditional.mean).toBeCloseTo(pairs === "all" ? given.all : given.adjacent, 3);
      const cells = offDiagonal(layer!.conditional);
      expect(mean(cells)).toBeCloseTo(conditional.mean, 3);
      const inside = cells.filter((value) => value >= conditional.low && value <= conditional.high).length;
      expect(inside / cells.length).toBeGreaterThan(0.9);
    }
    expect(coactivation(trace)[0]!.chance.lift.mean).toBeCloseTo(given.lift, 2);
  });

  test("agrees between the kinds where a token has two experts", () => {
    const trace = randomTrace({ nExperts: 8, topK: 2, nTokens: 200 });
    const [all, adjacent] = (["all", "adjacentRank"] as const).map((pairs) => coactivation(trace, { pairs })[0]!);
    expect(adjacent!.together).toEqual(all!.together);
    expect(adjacent!.chance).toEqual(all!.chance);
  });

  test("has rows that sum to k − 1, and moves with its experts", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 1000 }), (seed) => {
        const trace = randomTrace({ nExperts: 6, topK: 3, nTokens: 40, layers: [0, 1], seed });
        const renamed = { ...trace, expertIndices: trace.expertIndices.map((e) => (e + 2) % 6) };
        const [before, after] = [coactivation(trace), coactivation(renamed)];
        for (const [row, { counts, conditional, lift }] of before.entries())
          for (let i = 0; i < 6; i++) {
            const cells = Array.from({ length: 6 }, (_, j) => j).filter((j) => j !== i);
            if (counts[i]! > 0) expect(cells.reduce((sum, j) => sum + conditional[i * 6 + j]!, 0)).toBeCloseTo(2, 12);
            for (const j of cells) expect(after[row]!.lift[((i + 2) % 6) * 6 + ((j + 2) % 6)]).toBe(lift[i * 6 + j]);
          }
      }),
      { numRuns: 30 },
    );
  });

  test("has no number for an expert without tokens, and a top-1 router no pairs", () => {
    const [layer] = coactivation(traceOf({ nExperts: 3, topK: 2, indices: [0, 1, 1, 0] }));
    expect(layer!.conditional[2 * 3]).toBeNaN();
    expect(layer!.conditional[2]).toBe(0);
    expect(layer!.lift[2]).toBeNaN();
    const [alone] = coactivation(traceOf({ nExperts: 3, topK: 1, indices: [0, 1, 1] }));
    expect(offDiagonal(alone!.together)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(alone!.chance.conditional.mean).toBe(0);
  });

  test.each([1, 2, 3, 4, 5, 6, 8])(
    "counts what a walk over every pair of slots counts, for top-%d of 9 in three layers",
    (topK) => {
      const trace = randomTrace({ nExperts: 9, topK, nTokens: 60, layers: [0, 1, 2], seed: topK });
      const plain = { all: new Map<string, number>(), adjacentRank: new Map<string, number>() };
      const mark = (kind: PairKind, layer: number, i: number, j: number): void => {
        for (const key of [`${layer} ${i} ${j}`, `${layer} ${j} ${i}`])
          plain[kind].set(key, (plain[kind].get(key) ?? 0) + 1);
      };
      for (let token = 0; token < 60; token++)
        for (let layer = 0; layer < 3; layer++) {
          const row = (token * 3 + layer) * topK;
          const experts = trace.expertIndices.slice(row, row + topK);
          for (const [a, i] of experts.entries())
            for (const [b, j] of experts.entries()) {
              if (a < b) mark("all", layer, i, j);
              if (a + 1 === b) mark("adjacentRank", layer, i, j);
            }
        }
      for (const kind of ["all", "adjacentRank"] as const) {
        const { together, counts } = countPairs(trace, kind);
        const expected = Array.from({ length: 3 * 81 }, (_, at) => {
          const [layer, i, j] = [Math.floor(at / 81), Math.floor(at / 9) % 9, at % 9];
          return plain[kind].get(`${layer} ${i} ${j}`) ?? 0;
        });
        expect([...together]).toEqual(expected);
        expect(counts.reduce((a, b) => a + b)).toBe(60 * 3 * topK);
      }
    },
  );

  test.each([3, 4, 6])("refuses an expert that does not exist, wherever in the top-%d it stands", (topK) => {
    for (let slot = 0; slot < topK; slot++) {
      const indices = Array.from({ length: topK }, (_, at) => (at === slot ? 9 : at));
      expect(() => countPairs(traceOf({ nExperts: 9, topK, indices }), "all")).toThrow(
        new RangeError("countPairs: expert must be below nExperts (9), got 9"),
      );
    }
  });

  test("reads a sketch as it reads the trace", () => {
    const trace = randomTrace({ nExperts: 6, topK: 3, nTokens: 50, layers: [1, 4] });
    for (const pairs of ["all", "adjacentRank"] as const)
      expect(coactivation(sketch(trace), { pairs })).toEqual(coactivation(trace, { pairs }));
  });

  test("refuses adjacent ranks without rank order, and choices that cannot be", () => {
    const unordered = { ...FOUR, rankOrdered: false };
    expect(() => coactivation(unordered, { pairs: "adjacentRank" })).toThrow(
      "the trace must keep the experts in order of preference",
    );
    expect(() => coactivation(sketch(unordered), { pairs: "adjacentRank" })).toThrow(
      'coactivation: pairs must be "all" for a sketch without rank order (adjacentPairs is null), got "adjacentRank"',
    );
    expect(() => coactivation({ ...FOUR, nExperts: 3 })).toThrow("expert must be below nExperts (3), got 3");
    const twice = traceOf({ nExperts: 4, topK: 3, indices: [0, 1, 0], layers: [5] });
    expect(() => coactivation(twice)).toThrow("a token's 3 experts must be different, got one twice in layer 5");
    expect(() => coactivation(twice, { pairs: "adjacentRank" })).toThrow("must be different, got one twice in layer 5");
  });
});
