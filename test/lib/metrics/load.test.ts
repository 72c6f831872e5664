import { describe, expect, test } from "vitest";
import { loadPerExpert } from "../../../lib/metrics/load.ts";
import type { RoutingTrace } from "../../../lib/trace/record.ts";

function traceOf(parts: { nExperts: number; topK: number; layers: number[]; indices: number[] }): RoutingTrace {
  const nTokens = parts.indices.length / (parts.layers.length * parts.topK);
  return {
    source: { engine: "hand", model: "none" },
    nExperts: parts.nExperts,
    topK: parts.topK,
    layers: parts.layers,
    tokenIds: new Int32Array(nTokens),
    pieces: null,
    sequenceOffsets: Int32Array.from([0, nTokens]),
    expertIndices: Uint16Array.from(parts.indices),
    expertWeights: null,
    routerProbs: null,
    rankOrdered: true,
  };
}

describe("loadPerExpert", () => {
  test("counts assignments by layer and expert", () => {
    // Two tokens, two layers, two slots: token 0 takes 0,1 then 2,1; token 1 takes 0,2 then 2,1.
    const load = loadPerExpert(traceOf({ nExperts: 3, topK: 2, layers: [0, 5], indices: [0, 1, 2, 1, 0, 2, 2, 1] }));
    expect(load.layers).toEqual([0, 5]);
    expect(load.nTokens).toBe(2);
    expect([...load.counts]).toEqual([2, 1, 1, 0, 2, 2]);
    expect([...load.share]).toEqual([0.5, 0.25, 0.25, 0, 0.5, 0.5]);
  });

  test("gives even load no variation and as many effective experts as there are", () => {
    const load = loadPerExpert(traceOf({ nExperts: 4, topK: 2, layers: [0], indices: [0, 1, 2, 3] }));
    expect(load.variation[0]).toBeCloseTo(0, 12);
    expect(load.effective[0]).toBeCloseTo(4, 12);
    expect(load.uniform.share).toBe(0.25);
  });

  test("measures uneven load", () => {
    // All on expert 0 of 4: shares 1,0,0,0, so the deviation is sqrt(3)/4 over a mean of 1/4.
    const load = loadPerExpert(traceOf({ nExperts: 4, topK: 1, layers: [0], indices: [0, 0, 0] }));
    expect(load.variation[0]).toBeCloseTo(Math.sqrt(3), 12);
    expect(load.effective[0]).toBeCloseTo(1, 12);
  });

  test.each([
    // Quantiles summed in exact fractions (the largest with log-gamma) outside this code.
    { n: 10, nExperts: 2, topK: 1, low: 2, high: 8 },
    { n: 60, nExperts: 16, topK: 4, low: 9, high: 22 },
    { n: 200, nExperts: 64, topK: 8, low: 16, high: 34 },
    { n: 100_000, nExperts: 16, topK: 4, low: 24_732, high: 25_269 },
    { n: 3, nExperts: 2, topK: 2, low: 3, high: 3 },
  ])("states the central 95 % of a binomial count for $n tokens and $topK of $nExperts experts", (given) => {
    const indices = Array.from({ length: given.n * given.topK }, (_, i) => i % given.topK);
    const { uniform } = loadPerExpert(traceOf({ ...given, layers: [0], indices }));
    expect(uniform).toMatchObject({ low: given.low, high: given.high });
  });

  test("refuses a trace whose arrays do not fit together", () => {
    const short = { ...traceOf({ nExperts: 4, topK: 2, layers: [0], indices: [0, 1, 2, 3] }), topK: 3 };
    expect(() => loadPerExpert(short)).toThrow(
      "loadPerExpert: expertIndices must be [n_tokens, n_layers, top_k] = [2, 1, 3], got 4 numbers",
    );
  });

  test("refuses a trace without tokens and an expert that does not exist", () => {
    expect(() => loadPerExpert(traceOf({ nExperts: 4, topK: 1, layers: [0], indices: [] }))).toThrow(
      "loadPerExpert: the trace must hold at least one token, got none",
    );
    expect(() => loadPerExpert(traceOf({ nExperts: 4, topK: 1, layers: [0], indices: [4] }))).toThrow(
      "loadPerExpert: expert must be below nExperts (4), got 4",
    );
  });
});
