import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { mergeSketches, sketch } from "../../../lib/metrics/sketch.ts";
import type { RoutingTrace } from "../../../lib/trace/record.ts";
import { randomTrace, traceOf } from "./traces.ts";

/** The tokens from start to end of a trace of one sequence. */
function part(trace: RoutingTrace, start: number, end: number): RoutingTrace {
  const width = trace.layers.length * trace.topK;
  return {
    ...trace,
    tokenIds: trace.tokenIds.slice(start, end),
    sequenceOffsets: Int32Array.from([0, end - start]),
    expertIndices: trace.expertIndices.slice(start * width, end * width),
  };
}

describe("sketch", () => {
  test("counts experts, pairs and the way of first choices through the layers", () => {
    // Two tokens, two layers, 2 of 3 experts: (0,1)→(2,1), (0,2)→(1,2).
    const trace = traceOf({ nExperts: 3, topK: 2, layers: [4, 9], indices: [0, 1, 2, 1, 0, 2, 1, 2] });
    const { nTokens, layers, counts, allPairs, adjacentPairs, transitions } = sketch(trace);
    expect([nTokens, layers]).toEqual([2, [4, 9]]);
    expect([...counts]).toEqual([2, 1, 1, 0, 2, 2]);
    expect([...allPairs]).toEqual([0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 2, 0]);
    expect(adjacentPairs).toEqual(allPairs);
    expect([...transitions!]).toEqual([0, 1, 1, 0, 0, 0, 0, 0, 0]);
  });

  test("of the whole is the merger of its parts' sketches, however split and in whatever order", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1000 }),
        fc.array(fc.integer({ min: 0, max: 60 }), { maxLength: 5 }),
        fc.boolean(),
        (seed, cuts, backwards) => {
          const trace = randomTrace({ nExperts: 7, topK: 3, nTokens: 60, layers: [0, 2, 3], seed });
          const ends = [...cuts, 60].sort((a, b) => a - b);
          const parts = ends.map((end, i) => sketch(part(trace, ends[i - 1] ?? 0, end)));
          const [first, ...rest] = backwards ? parts.toReversed() : parts;
          const whole = sketch(trace);
          expect(mergeSketches(parts)).toEqual(whole);
          expect(rest.length === 0 ? first : mergeSketches([first!, mergeSketches(rest)])).toEqual(whole);
        },
      ),
      { numRuns: 50 },
    );
  });

  test("leaves its parts alone, and lacks what one of them lacks", () => {
    const trace = randomTrace({ nExperts: 4, topK: 2, nTokens: 10, layers: [0, 1] });
    const [ordered, unordered] = [sketch(trace), sketch({ ...trace, rankOrdered: false })];
    expect(unordered.adjacentPairs).toBeNull();
    const whole = mergeSketches([ordered, unordered]);
    expect([whole.nTokens, whole.adjacentPairs, whole.transitions]).toEqual([20, null, null]);
    expect(mergeSketches([unordered, ordered]).transitions).toBeNull();
    expect(ordered).toEqual(sketch(trace));
  });

  test("is as large for a million tokens as for one", () => {
    const bytes = (nTokens: number): number => {
      const { counts, allPairs, adjacentPairs, transitions } = sketch(
        traceOf({ nExperts: 4, topK: 1, layers: [0, 1], indices: new Uint16Array(2 * nTokens) }),
      );
      return counts.byteLength + allPairs.byteLength + adjacentPairs!.byteLength + transitions!.byteLength;
    };
    expect(bytes(1_000_000)).toBe(bytes(1));
  });

  test("refuses to merge nothing, or different models", () => {
    const one = sketch(randomTrace({ nExperts: 4, topK: 2, nTokens: 3 }));
    expect(() => mergeSketches([])).toThrow("mergeSketches: there must be at least one sketch, got none");
    expect(() => mergeSketches([one, sketch(randomTrace({ nExperts: 5, topK: 2, nTokens: 3 }))])).toThrow(
      "mergeSketches: nExperts must be 4 as in the first, got 5",
    );
    expect(() => mergeSketches([one, { ...one, layers: [1] }])).toThrow(
      "mergeSketches: layers must be [0] as in the first, got [1]",
    );
  });
});
