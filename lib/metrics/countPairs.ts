import type { RoutingTrace } from "../trace/record.ts";
import { checkTrace } from "./checkTrace.ts";

/** "all": the pairs of a token's experts; "adjacentRank": only those whose ranks follow each other, as OLMoE's code does. */
export type PairKind = "all" | "adjacentRank";

/**
 * Counts the tokens that use two experts together, in one pass over the choices. A pair counts in both directions.
 * @returns symmetric, 0 on the diagonal: [n_layers, n_experts, n_experts]
 * @throws RangeError for a trace whose choices are not top_k different experts each, or adjacent ranks without rank order
 * @example countPairs(trace, "all")[layerRow * nExperts ** 2 + i * nExperts + j]
 */
export function countPairs(trace: RoutingTrace, pairs: PairKind): Uint32Array {
  checkTrace("countPairs", trace, ...(pairs === "adjacentRank" ? (["rankOrder"] as const) : []));
  const { nExperts, topK, layers, expertIndices } = trace;
  const square = nExperts * nExperts;
  const seen = new Uint32Array(layers.length * square);
  const reach = pairs === "all" ? topK : 2;
  for (let row = 0, from = 0; from < expertIndices.length; from += topK) {
    for (let a = from; a < from + topK; a++) {
      const i = expertIndices[a]!;
      if (i >= nExperts) throw new RangeError(`countPairs: expert must be below nExperts (${nExperts}), got ${i}`);
      const end = Math.min(a + reach, from + topK);
      const at = row * square + i * nExperts;
      for (let b = a + 1; b < end; b++) seen[at + expertIndices[b]!]! += 1;
    }
    row = row + 1 === layers.length ? 0 : row + 1;
  }
  return bothWays(seen, nExperts, layers.length);
}

/** Adds to each direction the other's; an expert that met itself was chosen twice by one token. */
function bothWays(seen: Uint32Array, nExperts: number, nLayers: number): Uint32Array {
  for (let row = 0; row < nLayers; row++)
    for (let i = 0; i < nExperts; i++) {
      const at = (row * nExperts + i) * nExperts;
      if (seen[at + i]! > 0) throw new RangeError(`countPairs: a token's experts must be different, got ${i} twice`);
      for (let j = 0; j < i; j++) {
        const other = (row * nExperts + j) * nExperts + i;
        seen[at + j] = seen[other] = seen[at + j]! + seen[other]!;
      }
    }
  return seen;
}
