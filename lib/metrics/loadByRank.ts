import type { RoutingTrace } from "../trace/record.ts";
import type { SimulationOptions } from "./chance.ts";
import { choices } from "./choices.ts";
import { loadChance } from "./loadChance.ts";
import { type LoadStatistics, loadStatistics } from "./loadStatistics.ts";

/** The load by one rank in one layer. */
export interface RankLoad extends LoadStatistics {
  /** The model's layer number. */
  layer: number;
  /** 0 for the first choices, and so on. */
  rank: number;
}

/**
 * Load by each rank of the choices alone: an expert can be rare as a first choice and common as a second.
 * @formula as `loadStatistics`, from the choices of one rank
 * @chance as `loadStatistics` with one choice a token: share 1/E
 * @returns layer by layer, ranks rising
 * @throws RangeError for a trace that does not keep the rank order
 * @see Jiang et al. 2024, arXiv:2401.04088, figure 9
 * @example loadByRank(trace).filter(({ rank }) => rank === 0).map(({ layer, argmax }) => ({ layer, argmax }))
 */
export function loadByRank(trace: RoutingTrace, options: SimulationOptions = {}): RankLoad[] {
  const { nExperts, topK, tokenIds } = trace;
  const byLayer = choices("loadByRank", trace, "rankOrder");
  const chance = loadChance({ nExperts, topK: 1, nTokens: tokenIds.length }, options);
  return byLayer.flatMap(({ layer, experts }) =>
    Array.from({ length: topK }, (_, rank) => {
      const counts = new Float64Array(nExperts);
      for (let i = rank; i < experts.length; i += topK) counts[experts[i]!]! += 1;
      return { layer, rank, ...loadStatistics(counts, { chance }) };
    }),
  );
}
