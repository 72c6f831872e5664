import { seeded, type Uniform } from "../../../lib/metrics/random.ts";
import type { RoutingTrace } from "../../../lib/trace/record.ts";

type Given = { nExperts: number; topK: number; indices: ArrayLike<number> } & Partial<RoutingTrace>;

/** A trace from chosen experts, [n_tokens, n_layers, top_k]: one layer and one sequence unless told otherwise. */
export function traceOf({ nExperts, topK, indices, layers = [0], ...parts }: Given): RoutingTrace {
  const nTokens = indices.length / (layers.length * topK);
  return {
    source: { engine: "hand", model: "none" },
    nExperts,
    topK,
    layers,
    tokenIds: new Int32Array(nTokens),
    pieces: null,
    sequenceOffsets: Int32Array.from([0, nTokens]),
    expertIndices: Uint16Array.from(indices),
    expertWeights: null,
    routerProbs: null,
    rankOrdered: true,
    ...parts,
  };
}

interface RandomSize {
  nExperts: number;
  topK: number;
  nTokens: number;
  layers?: number[];
  seed?: number;
}

/**
 * Uniform routing by the slowest of ways, so that it shares nothing with what it tests: every token draws experts until it
 * has top_k different ones.
 */
export function randomTrace(size: RandomSize, parts: Partial<RoutingTrace> = {}): RoutingTrace {
  const { nExperts, topK, nTokens, layers = [0], seed = 1 } = size;
  const uniform = seeded(seed);
  const indices = Array.from({ length: nTokens * layers.length }, () => randomSet(nExperts, topK, uniform)).flat();
  return traceOf({ nExperts, topK, layers, indices, ...parts });
}

export function randomSet(nExperts: number, topK: number, uniform: Uniform): number[] {
  const set = new Set<number>();
  while (set.size < topK) set.add(Math.floor(uniform() * nExperts));
  return [...set];
}

/** All ordered choices of k of E experts: 4 of 16 has 43,680, 2 of 5 has 20. */
export function everyChoice(nExperts: number, topK: number): number[][] {
  if (topK === 0) return [[]];
  return everyChoice(nExperts, topK - 1).flatMap((set) =>
    Array.from({ length: nExperts }, (_, e) => e)
      .filter((e) => !set.includes(e))
      .map((e) => [...set, e]),
  );
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** Six tokens in sequences of two and four, one layer, 2 of 3 experts. */
export const SIX = traceOf({
  nExperts: 3,
  topK: 2,
  indices: [0, 1, 0, 2, 1, 0, 2, 1, 2, 0, 1, 2],
  sequenceOffsets: Int32Array.from([0, 2, 6]),
});
