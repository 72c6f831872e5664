import type { Chance, SimulationOptions } from "./chance.ts";
import { loadChance } from "./loadChance.ts";
import { type LoadShape, loadShape } from "./loadShape.ts";

/** Load of a set of experts: its shape, each expert's share, and the same under uniform routing. */
export interface LoadStatistics extends LoadShape {
  nExperts: number;
  nTokens: number;
  /** Load, count / Σ counts: [n_experts]; NaN without assignments. */
  share: Float64Array;
  /** The expert with the largest count, the lowest number where several share it; −1 without assignments. */
  argmax: number;
  /** Each number under uniform routing with as many tokens; the argmax would be any expert, each as likely. */
  chance: Record<keyof LoadShape | "share", Chance>;
}

export interface LoadStatisticsOptions extends SimulationOptions {
  /** Experts that one token takes; with counts of one rank, or of first choices, it is 1. */
  topK?: number;
  /** A result of `loadChance` for the same sizes, to share one simulation among many loads. */
  chance?: LoadStatistics["chance"];
}

/**
 * How evenly the experts are used, beside what uniform routing would give.
 * @formula of p_e = n_e / Σ n: see the quantities
 * @chance uniform routing of as many tokens, simulated; share binomial(T, k/E) and E[Σp²] = 1/E + (1 − k/E) / (k
 * T), exactly
 * @param counts assignments of each expert, whole numbers: [n_experts]
 * @throws RangeError for counts that tokens with top_k different experts each cannot give
 * @example loadStatistics([30, 10, 20, 20], { topK: 2 }).maxVio // 0.5, beside .chance.maxVio.mean
 */
export function loadStatistics(
  counts: ArrayLike<number>,
  { topK = 1, chance, ...options }: LoadStatisticsOptions = {},
): LoadStatistics {
  const shape = loadShape(counts);
  const values = Float64Array.from(counts);
  const total = values.reduce((sum, count) => sum + count, 0);
  const nTokens = total / topK;
  if (!values.every(Number.isInteger))
    throw new RangeError(`loadStatistics: a count must be a whole number, got ${values.find((n) => n % 1 !== 0)}`);
  if (!Number.isInteger(nTokens))
    throw new RangeError(`loadStatistics: the counts' sum must be a multiple of topK (${topK}), got ${total}`);
  const most = values.reduce((a, b) => Math.max(a, b));
  if (most > nTokens)
    throw new RangeError(`loadStatistics: a count must be at most the number of tokens (${nTokens}), got ${most}`);
  return {
    ...shape,
    nExperts: values.length,
    nTokens,
    share: values.map((count) => count / total),
    argmax: total === 0 ? -1 : values.indexOf(most),
    chance: chance ?? loadChance({ nExperts: values.length, topK, nTokens }, options),
  };
}
