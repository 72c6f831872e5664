import { binomialInterval } from "./binomialInterval.ts";
import { type Chance, type SimulationOptions, simulate, withMean } from "./chance.ts";
import { type LoadShape, loadShape } from "./loadShape.ts";
import { addUniformCounts } from "./uniformRouting.ts";

/** How many experts there are, how many a token takes, and how many tokens were counted. */
export interface RoutingSize {
  nExperts: number;
  topK: number;
  nTokens: number;
}

/**
 * What a load looks like if every token draws its top_k experts uniformly, without replacement and on its own. Even then
 * no load is even: the fewer tokens, the more uneven. From random counts, except a share, whose count is
 * binomial(T, k/E), and the mean E[Σp²] = 1/E + (1 − k/E) / (k·T). Without tokens everything is NaN.
 * @throws RangeError for sizes that no router has
 * @example loadChance({ nExperts: 16, topK: 4, nTokens: 512 }).maxVio.mean // 0.14: no imbalance of the router's
 */
export function loadChance(
  { nExperts, topK, nTokens }: RoutingSize,
  options: SimulationOptions = {},
): Record<keyof LoadShape | "share", Chance> {
  if (!Number.isInteger(topK) || topK < 1 || topK > nExperts)
    throw new RangeError(`loadChance: topK must be a whole number from 1 to nExperts (${nExperts}), got ${topK}`);
  if (!Number.isInteger(nTokens) || nTokens < 0)
    throw new RangeError(`loadChance: nTokens must be a whole number of at least 0, got ${nTokens}`);
  const counts = new Float64Array(nExperts);
  const chance = simulate(
    "simulated",
    (uniform) => {
      counts.fill(0);
      addUniformCounts(counts, nTokens, topK, uniform);
      return { ...loadShape(counts) };
    },
    options,
  );
  const { low, high } = binomialInterval(nTokens, topK / nExperts);
  const slots = nTokens > 0 ? nTokens * topK : Number.NaN;
  return {
    ...chance,
    share: { mean: slots / slots / nExperts, low: low / slots, high: high / slots, method: "exact" },
    hhi: withMean(chance.hhi, 1 / nExperts + (1 - topK / nExperts) / slots),
  };
}
