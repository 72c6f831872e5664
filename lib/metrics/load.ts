import { ShapeError } from "../errors.ts";
import type { RoutingTrace } from "../trace/record.ts";

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
 * @throws RangeError for a trace without tokens or with an expert it does not have; ShapeError for one of another size
 * @example loadPerExpert(trace).share // Float64Array, [n_layers, n_experts]
 */
export function loadPerExpert(trace: RoutingTrace): ExpertLoad {
  const { nExperts, topK, layers, expertIndices } = trace;
  const nTokens = trace.tokenIds.length;
  if (nTokens === 0) throw new RangeError("loadPerExpert: the trace must hold at least one token, got none");
  const rows = layers.length;
  if (rows === 0 || expertIndices.length !== nTokens * rows * topK) {
    const declared = `[n_tokens, n_layers, top_k] = [${nTokens}, ${rows}, ${topK}]`;
    throw new ShapeError(`loadPerExpert: expertIndices must be ${declared}, got ${expertIndices.length} numbers`);
  }
  const counts = new Uint32Array(rows * nExperts);
  for (let i = 0; i < expertIndices.length; i++) {
    const expert = expertIndices[i]!;
    if (expert >= nExperts)
      throw new RangeError(`loadPerExpert: expert must be below nExperts (${nExperts}), got ${expert}`);
    counts[(Math.floor(i / topK) % rows) * nExperts + expert]! += 1;
  }
  const share = Float64Array.from(counts, (n) => n / (nTokens * topK));
  const row = (layer: number): Float64Array => share.subarray(layer * nExperts, (layer + 1) * nExperts);
  return {
    layers: [...layers],
    nExperts,
    topK,
    nTokens,
    counts,
    share,
    variation: Float64Array.from(layers, (_, layer) => variationOf(row(layer))),
    effective: Float64Array.from(layers, (_, layer) => Math.exp(entropyOf(row(layer)))),
    uniform: { share: 1 / nExperts, ...binomial95(nTokens, topK / nExperts) },
  };
}

function variationOf(shares: Float64Array): number {
  const mean = 1 / shares.length;
  return Math.sqrt(shares.reduce((sum, s) => sum + (s - mean) ** 2, 0) / shares.length) / mean;
}

function entropyOf(shares: Float64Array): number {
  return -shares.reduce((sum, s) => sum + (s > 0 ? s * Math.log(s) : 0), 0);
}

/** The central 95 % of a binomial count: the smallest counts whose cumulative probability reaches 2.5 % and 97.5 %. */
function binomial95(n: number, p: number): { low: number; high: number } {
  if (p >= 1) return { low: n, high: n };
  let logProbability = n * Math.log1p(-p);
  let cumulative = Math.exp(logProbability);
  let low = 0;
  let high = 0;
  while (cumulative < 0.975 && high < n) {
    if (cumulative < 0.025) low = high + 1;
    logProbability += Math.log(((n - high) / (high + 1)) * (p / (1 - p)));
    cumulative += Math.exp(logProbability);
    high += 1;
  }
  return { low, high };
}
