import { shown } from "../errors.ts";
import type { RoutingTrace } from "../trace/record.ts";
import { checkTrace } from "./checkTrace.ts";
import { pairsByRank, sumOf } from "./countPairs.ts";
import { countTransitions } from "./countTransitions.ts";

/**
 * What is left of a trace when its tokens are forgotten: counts that add up. Its size depends on the model alone, so it is
 * the unit of exchange between machines, domains and parts of a corpus.
 */
export interface Sketch {
  nExperts: number;
  topK: number;
  /** The model's layer number of each traced layer. */
  layers: number[];
  nTokens: number;
  /** Assignments of each expert: [n_layers, n_experts]. */
  counts: Float64Array;
  /** Tokens that use two experts together: [n_layers, n_experts, n_experts]. */
  allPairs: Float64Array;
  /** The same on adjacent ranks only; null where the rank order is not known. */
  adjacentPairs: Float64Array | null;
  /** First choice in a layer, first choice in the next: [n_layers − 1, n_experts, n_experts]; null without rank order. */
  transitions: Float64Array | null;
}

/**
 * Counts a trace.
 * @throws RangeError for a trace whose choices are not top_k different experts each
 * @example mergeSketches([sketch(trace), sketch(early)]).nTokens // the sketch of both, in any order
 */
export function sketch(trace: RoutingTrace): Sketch {
  const { nExperts, topK, layers, tokenIds, rankOrdered } = trace;
  checkTrace("sketch", trace);
  const { counts, near, far } = pairsByRank("sketch", trace);
  const adjacentPairs = rankOrdered ? Float64Array.from(near) : null;
  return {
    nExperts,
    topK,
    layers: [...layers],
    nTokens: tokenIds.length,
    counts: Float64Array.from(counts),
    allPairs: Float64Array.from(sumOf(near, far)),
    adjacentPairs,
    transitions: rankOrdered ? Float64Array.from(countTransitions(trace)) : null,
  };
}

/**
 * The sketch of all tokens together. Counts stay exact up to 2⁵³. What one sketch lacks, the whole lacks.
 * @throws RangeError for none, or sketches of different models or layers
 */
export function mergeSketches(sketches: Iterable<Sketch>): Sketch {
  let whole: Sketch | undefined;
  for (const part of sketches) {
    whole ??= empty(part);
    for (const key of ["nExperts", "topK", "layers"] as const)
      if (shown(part[key]) !== shown(whole[key]))
        throw new RangeError(
          `mergeSketches: ${key} must be ${shown(whole[key])} as in the first, got ${shown(part[key])}`,
        );
    whole.nTokens += part.nTokens;
    add(whole.counts, part.counts);
    add(whole.allPairs, part.allPairs);
    whole.adjacentPairs = addOrLack(whole.adjacentPairs, part.adjacentPairs);
    whole.transitions = addOrLack(whole.transitions, part.transitions);
  }
  if (whole === undefined) throw new RangeError("mergeSketches: there must be at least one sketch, got none");
  return whole;
}

function empty({ nExperts, topK, layers, counts, allPairs, adjacentPairs, transitions }: Sketch): Sketch {
  return {
    nExperts,
    topK,
    layers: [...layers],
    nTokens: 0,
    counts: new Float64Array(counts.length),
    allPairs: new Float64Array(allPairs.length),
    adjacentPairs: adjacentPairs && new Float64Array(adjacentPairs.length),
    transitions: transitions && new Float64Array(transitions.length),
  };
}

function add(sum: Float64Array, part: Float64Array): Float64Array {
  for (let i = 0; i < sum.length; i++) sum[i]! += part[i]!;
  return sum;
}

function addOrLack(sum: Float64Array | null, part: Float64Array | null): Float64Array | null {
  return sum === null || part === null ? null : add(sum, part);
}
