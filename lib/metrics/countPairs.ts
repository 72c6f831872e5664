import type { RoutingTrace } from "../trace/record.ts";
import { checkTrace } from "./checkTrace.ts";
import { checkChoices } from "./choices.ts";
import { oneOf } from "./oneOf.ts";

/** "all": the pairs of a token's experts; "adjacentRank": only those whose ranks follow each other, as OLMoE's code does. */
export type PairKind = "all" | "adjacentRank";

/** How many tokens use each expert, and each two experts together. */
export interface PairCounts {
  /** [n_layers, n_experts] */
  counts: Uint32Array;
  /** Symmetric, 0 on the diagonal: [n_layers, n_experts, n_experts]. */
  together: Uint32Array;
}

/**
 * Counts experts and pairs of experts of all layers in one pass over the choices.
 * @throws RangeError for a trace whose choices are not top_k different experts each, or adjacent ranks without rank order
 * @example countPairs(trace, "all").together[2 * trace.nExperts + 5] // the first layer's tokens that use both 2 and 5
 */
export function countPairs(trace: RoutingTrace, pairs: PairKind): PairCounts {
  oneOf("countPairs", "pairs", pairs, ["all", "adjacentRank"]);
  checkTrace("countPairs", trace, ...(pairs === "adjacentRank" ? (["rankOrder"] as const) : []));
  const { nExperts, topK, layers, expertIndices } = trace;
  if (pairs === "adjacentRank") checkChoices("countPairs", expertIndices, trace);
  const square = nExperts * nExperts;
  const seen = new Uint32Array(layers.length * square); // an expert with itself: its tokens
  const reach = pairs === "all" ? topK : 2;
  for (let from = 0, layer = 0; from < expertIndices.length; from += topK) {
    for (let a = from; a < from + topK; a++) {
      const i = expertIndices[a]!;
      if (i >= nExperts) throw new RangeError(`countPairs: expert must be below nExperts (${nExperts}), got ${i}`);
      const row = layer + i * nExperts;
      const end = Math.min(a + reach, from + topK);
      for (let b = a; b < end; b++) seen[row + expertIndices[b]!]! += 1;
    }
    layer = layer + square === seen.length ? 0 : layer + square;
  }
  return bothWays(seen, trace);
}

/** Takes the diagonal out, and adds to each direction the other's. */
function bothWays(together: Uint32Array, { nExperts, topK, layers, tokenIds }: RoutingTrace): PairCounts {
  const counts = new Uint32Array(layers.length * nExperts);
  for (let row = 0; row < layers.length; row++) {
    let assignments = 0;
    for (let i = 0; i < nExperts; i++) {
      const at = (row * nExperts + i) * nExperts;
      assignments += counts[row * nExperts + i] = together[at + i]!;
      together[at + i] = 0;
      for (let j = 0; j < i; j++) {
        const other = (row * nExperts + j) * nExperts + i;
        together[at + j] = together[other] = together[at + j]! + together[other]!;
      }
    }
    if (assignments !== tokenIds.length * topK)
      throw new RangeError(
        `countPairs: a token's ${topK} experts must be different, got one twice in layer ${layers[row]}`,
      );
  }
  return { counts, together };
}
