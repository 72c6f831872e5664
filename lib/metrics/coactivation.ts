import type { RoutingTrace } from "../trace/record.ts";
import { binomialInterval } from "./binomialInterval.ts";
import type { Chance } from "./chance.ts";
import { countPairs, type PairKind } from "./countPairs.ts";
import { oneOf } from "./oneOf.ts";
import type { Sketch } from "./sketch.ts";

/** Which experts of one layer serve the same tokens. Every matrix is [n_experts, n_experts], NaN on its diagonal. */
export interface Coactivation {
  /** The model's layer number. */
  layer: number;
  pairs: PairKind;
  nTokens: number;
  /** Tokens that use expert i: [n_experts]. */
  counts: Float64Array;
  /** N_ij: tokens that use i and j together (or on adjacent ranks); symmetric. */
  together: Float64Array;
  /** N_ij / N_i, row i: of the tokens that use i, the part that uses j too; NaN in the row of an unused expert. */
  conditional: Float64Array;
  /** P(ij) / (P(i) P(j)) = N_ij T / (N_i N_j), which removes load; symmetric; NaN where either is unused. */
  lift: Float64Array;
  /** log2 of the lift, in bits; −Infinity for two used experts that never meet. */
  pmi: Float64Array;
  /** One cell under uniform routing; its bounds are those of an expert with average load. */
  chance: { conditional: Chance; lift: Chance; pmi: Chance };
}

/**
 * Co-activation of experts. OLMoE's paper defines N_ij / N_i over all pairs of a token's experts; its published code
 * counts only pairs on adjacent ranks, k−1 of the k(k−1)/2, which makes co-activation look rarer. Both are here; at
 * top-2 they agree.
 * @formula N_ij / N_i; lift N_ij T / (N_i N_j); PMI log2 of the lift
 * @chance top_k drawn without replacement, exact: (k−1)/(E−1) for all pairs, 2(k−1)/(k(E−1)) for adjacent ranks;
 * the lift's is that over k/E, below 1 because an expert is never drawn twice
 * @param source a trace, or the sketch of one
 * @param options `pairs`: "all" (default) or "adjacentRank", which needs the rank order
 * @throws RangeError for a trace whose choices are not top_k different experts each, or lacks the rank order
 * @see Muennighoff et al. 2024, arXiv:2409.02060, section 5 (expert co-activation), and its scripts/run_moe_analysis.py
 * @example coactivation(trace)[0].lift[3 * trace.nExperts + 5] // how much oftener experts 3 and 5 meet than their loads say
 */
export function coactivation(
  source: RoutingTrace | Sketch,
  { pairs = "all" }: { pairs?: PairKind } = {},
): Coactivation[] {
  oneOf("coactivation", "pairs", pairs, ["all", "adjacentRank"]);
  const { nExperts, topK, layers } = source;
  const { nTokens, counts, together } = "expertIndices" in source ? ofTrace(source, pairs) : ofSketch(source, pairs);
  const chance = cellChance({ nExperts, topK, nTokens }, pairs);
  return layers.map((layer, row) => {
    const square = nExperts * nExperts;
    const mine = counts.slice(row * nExperts, (row + 1) * nExperts);
    const meet = together.slice(row * square, (row + 1) * square);
    for (let i = 0; i < nExperts; i++) meet[i * nExperts + i] = Number.NaN;
    const lift = meet.map((n, at) => (n * nTokens) / (mine[Math.floor(at / nExperts)]! * mine[at % nExperts]!));
    return {
      layer,
      pairs,
      nTokens,
      counts: mine,
      together: meet,
      conditional: meet.map((n, at) => n / mine[Math.floor(at / nExperts)]!),
      lift,
      pmi: lift.map(Math.log2),
      chance,
    };
  });
}

interface Counted {
  nTokens: number;
  counts: Float64Array;
  together: Float64Array;
}

function ofTrace(trace: RoutingTrace, pairs: PairKind): Counted {
  const { counts, together } = countPairs(trace, pairs);
  return {
    nTokens: trace.tokenIds.length,
    counts: Float64Array.from(counts),
    together: Float64Array.from(together),
  };
}

function ofSketch({ nTokens, counts, allPairs, adjacentPairs }: Sketch, pairs: PairKind): Counted {
  const together = pairs === "all" ? allPairs : adjacentPairs;
  if (together === null)
    throw new RangeError(
      'coactivation: pairs must be "all" for a sketch without rank order (adjacentPairs is null), got "adjacentRank"',
    );
  return { nTokens, counts, together };
}

function cellChance(
  size: { nExperts: number; topK: number; nTokens: number },
  pairs: PairKind,
): Coactivation["chance"] {
  const { nExperts, topK, nTokens } = size;
  const part = (pairs === "all" ? 1 : 2 / topK) * ((topK - 1) / (nExperts - 1));
  const users = Math.round((nTokens * topK) / nExperts);
  const { low, high } = binomialInterval(users, part);
  const scaled = (scale: (p: number) => number): Chance => ({
    mean: scale(part),
    low: scale(low / users),
    high: scale(high / users),
    method: "exact",
  });
  return {
    conditional: scaled((p) => p),
    lift: scaled((p) => (p * nExperts) / topK),
    pmi: scaled((p) => Math.log2((p * nExperts) / topK)),
  };
}
