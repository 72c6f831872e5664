import type { RoutingTrace } from "../trace/record.ts";
import { binomialInterval } from "./binomialInterval.ts";
import { countExperts } from "./countExperts.ts";
import { loadShape } from "./loadShape.ts";

/** How the assignments of a text (token and slot) fall on the experts of each layer. */
export interface ExpertLoad {
  /** The model's layer number of each row. */
  layers: number[];
  nExperts: number;
  topK: number;
  nTokens: number;
  /** Assignments of each expert: [n_layers, n_experts]. */
  counts: Uint32Array;
  /** Load, count / (n_tokens · top_k): [n_layers, n_experts]; each row sums to 1. */
  share: Float64Array;
  /** Population standard deviation of a row's counts over their mean, 0 when all are equal: [n_layers]. */
  variation: Float64Array;
  /** Effective number of experts, exp(−Σ share · ln share), between 1 and n_experts: [n_layers]. */
  effective: Float64Array;
  /**
   * One expert's load if every token drew its top_k experts uniformly and on its own: the mean share 1 / n_experts, and
   * the central 95 % of its count, which is binomial(n_tokens, top_k / n_experts). About one expert in twenty falls
   * outside by chance, and tokens of a text do depend on each other.
   */
  uniform: { share: number; low: number; high: number };
}

/**
 * Counts how often each expert is chosen in each layer.
 * @formula n_e / (k T)
 * @chance uniform routing: share 1/E, its count binomial(T, k/E), exactly
 * @throws RangeError for a trace without tokens, or whose choices are not top_k different experts each;
 * ShapeError for arrays that do not fit together
 * @example loadPerExpert(trace).effective // [n_layers]
 */
export function loadPerExpert(trace: RoutingTrace): ExpertLoad {
  const { nExperts, topK, layers } = trace;
  const nTokens = trace.tokenIds.length;
  if (nTokens === 0) throw new RangeError("loadPerExpert: the trace must hold at least one token, got none");
  const counts = countExperts(trace, "loadPerExpert");
  const shapes = layers.map((_, row) => loadShape(counts.subarray(row * nExperts, (row + 1) * nExperts)));
  return {
    layers: [...layers],
    nExperts,
    topK,
    nTokens,
    counts,
    share: Float64Array.from(counts, (n) => n / (nTokens * topK)),
    variation: Float64Array.from(shapes, ({ cv }) => cv),
    effective: Float64Array.from(shapes, ({ effectiveExperts }) => effectiveExperts),
    uniform: { share: 1 / nExperts, ...binomialInterval(nTokens, topK / nExperts) },
  };
}
