import type { RoutingTrace } from "../trace/record.ts";
import { checkTrace } from "./checkTrace.ts";
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
  const { counts, near, far } = pairsByRank("countPairs", trace);
  return { counts, together: pairs === "all" ? sumOf(near, far) : near };
}

/** Counts of experts, and of their pairs, those on adjacent ranks apart from the others. */
export interface RankedPairs {
  /** [n_layers, n_experts] */
  counts: Uint32Array;
  /** Symmetric, 0 on the diagonal: [n_layers, n_experts, n_experts]. */
  near: Uint32Array;
  /** Likewise. */
  far: Uint32Array;
}

/**
 * The same of a trace that was checked, with both kinds of pairs in one pass.
 * @throws RangeError for choices that are not top_k different experts each
 */
export function pairsByRank(where: string, { nExperts, topK, layers, expertIndices }: RoutingTrace): RankedPairs {
  const square = nExperts * nExperts;
  const near = new Uint32Array(layers.length * square); // an expert with itself: its tokens
  const far = new Uint32Array(layers.length * square);
  for (let from = 0, layer = 0; from < expertIndices.length; from += topK) {
    const end = from + topK;
    for (let a = from; a < end; a++) {
      const i = expertIndices[a]!;
      if (i >= nExperts) throw new RangeError(`${where}: expert must be below nExperts (${nExperts}), got ${i}`);
      const row = layer + i * nExperts;
      near[row + i]! += 1;
      if (a + 1 < end) near[row + expertIndices[a + 1]!]! += 1;
      for (let b = a + 2; b < end; b++) far[row + expertIndices[b]!]! += 1;
    }
    layer = layer + square === near.length ? 0 : layer + square;
  }
  const counts = diagonals(near, nExperts);
  const twice = diagonals(far, nExperts);
  for (const [row, layer] of layers.entries()) {
    let assignments = 0;
    for (let at = row * nExperts; at < (row + 1) * nExperts; at++) assignments += counts[at]! + twice[at]!;
    if (assignments * layers.length !== expertIndices.length)
      throw new RangeError(`${where}: a token's ${topK} experts must be different, got one twice in layer ${layer}`);
  }
  return { counts, near: bothWays(near, nExperts), far: bothWays(far, nExperts) };
}

/** Takes the diagonals out of square tables: [n_layers, n_experts]. */
function diagonals(tables: Uint32Array, nExperts: number): Uint32Array {
  const diagonal = new Uint32Array(tables.length / nExperts);
  for (let row = 0; row < diagonal.length; row++) {
    const at = row * nExperts + (row % nExperts);
    diagonal[row] = tables[at]!;
    tables[at] = 0;
  }
  return diagonal;
}

/** Adds to each direction of square tables the other's. */
function bothWays(tables: Uint32Array, nExperts: number): Uint32Array {
  for (let start = 0; start < tables.length; start += nExperts * nExperts)
    for (let i = 0; i < nExperts; i++)
      for (let j = 0; j < i; j++) {
        const [at, other] = [start + i * nExperts + j, start + j * nExperts + i];
        tables[at] = tables[other] = tables[at]! + tables[other]!;
      }
  return tables;
}

/** The sum of two tables, in the first. */
export function sumOf(a: Uint32Array, b: Uint32Array): Uint32Array {
  for (let i = 0; i < a.length; i++) a[i]! += b[i]!;
  return a;
}
