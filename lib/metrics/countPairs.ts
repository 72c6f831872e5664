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
export function pairsByRank(where: string, trace: RoutingTrace): RankedPairs {
  const { nExperts, topK, layers, expertIndices } = trace;
  const square = nExperts * nExperts;
  const near = new Uint32Array(layers.length * square);
  const far = new Uint32Array(layers.length * square);
  for (let from = 0, layer = 0; from < expertIndices.length; from += topK) {
    let nCounted = 0;
    if (topK >= 4) {
      // The first four experts' pairs one by one: as loops they take more than twice as long.
      const [a, b] = [expertIndices[from]!, expertIndices[from + 1]!];
      const [c, d] = [expertIndices[from + 2]!, expertIndices[from + 3]!];
      if (a >= nExperts || b >= nExperts || c >= nExperts || d >= nExperts)
        throw stranger(where, Math.max(a, b, c, d), nExperts);
      const [ofA, ofB, ofC] = [layer + a * nExperts, layer + b * nExperts, layer + c * nExperts];
      near[ofA + b]! += 1;
      far[ofA + c]! += 1;
      far[ofA + d]! += 1;
      near[ofB + c]! += 1;
      far[ofB + d]! += 1;
      near[ofC + d]! += 1;
      nCounted = 4;
    }
    for (let at = from + nCounted; at < from + topK; at++) {
      const expert = expertIndices[at]!;
      if (expert >= nExperts) throw stranger(where, expert, nExperts);
      for (let before = from; before < at - 1; before++) far[layer + expertIndices[before]! * nExperts + expert]! += 1;
      if (at > from) near[layer + expertIndices[at - 1]! * nExperts + expert]! += 1;
    }
    layer = layer + square === near.length ? 0 : layer + square;
  }
  for (let row = 0; row < layers.length * nExperts; row++) {
    const itself = row * nExperts + (row % nExperts);
    if (near[itself]! + far[itself]! > 0)
      throw new RangeError(
        `${where}: a token's ${topK} experts must be different, got one twice in layer ${layers[Math.floor(row / nExperts)]}`,
      );
  }
  const pairs = { near: bothWays(near, nExperts), far: bothWays(far, nExperts) };
  return { counts: topK === 1 ? singles(trace) : partners(pairs, topK, nExperts), ...pairs };
}

function stranger(where: string, expert: number, nExperts: number): RangeError {
  return new RangeError(`${where}: expert must be below nExperts (${nExperts}), got ${expert}`);
}

/** Tokens of each expert that is a token's only one: [n_layers, n_experts]. */
function singles({ nExperts, layers, expertIndices }: RoutingTrace): Uint32Array {
  const counts = new Uint32Array(layers.length * nExperts);
  for (const [at, expert] of expertIndices.entries()) counts[(at % layers.length) * nExperts + expert]! += 1;
  return counts;
}

/** Tokens of each expert, which has top_k − 1 partners in each: [n_layers, n_experts]. */
function partners({ near, far }: Omit<RankedPairs, "counts">, topK: number, nExperts: number): Uint32Array {
  const counts = new Uint32Array(near.length / nExperts);
  for (let at = 0; at < near.length; at++) counts[Math.floor(at / nExperts)]! += near[at]! + far[at]!;
  return counts.map((count) => count / (topK - 1));
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
