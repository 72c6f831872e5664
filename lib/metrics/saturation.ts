import type { RoutingTrace } from "../trace/record.ts";
import { type Measure, meanOfDraws, type SimulationOptions } from "./chance.ts";
import { choices } from "./choices.ts";
import { overlapChance, overlapOf, sharedExperts } from "./overlap.ts";

export interface SaturationMeasure extends Measure {
  /** What two routers with these loads would give if they chose independently of each other. */
  byLoad: number;
}

/** How far one layer's routing has become what it will be. */
export interface Saturation {
  /** The model's layer number. */
  layer: number;
  /** Mean |E_t(x) ∩ E_T(x)| / k over tokens. Chance k/E. */
  topK: SaturationMeasure;
  /** Share of tokens with the same first choice, chance 1/E; null where not asked for. */
  firstChoice: SaturationMeasure | null;
}

export interface SaturationOptions extends SimulationOptions {
  /** Compare first choices too, which needs the rank order of both; true where absent. */
  firstChoice?: boolean;
}

/**
 * Router saturation: of the experts that a checkpoint chooses, the part that the final one chooses too, on the same
 * tokens. It compares sets, so 1 says nothing about the weights. OLMoE's "1 %" checkpoint is in truth at 0.4 % of its
 * training.
 * @formula mean over tokens of |E_t ∩ E_T| / k, and of [same first]
 * @chance uniform routing: k/E and 1/E, exactly; and by load, Σ p q, for routers that choose independently
 * @param trace of the earlier checkpoint
 * @param final of the last one
 * @throws RangeError for traces of different tokens, layers or routers
 * @see Muennighoff et al. 2024, arXiv:2409.02060, section 5 (router saturation)
 * @example saturation(early, trace).map(({ layer, topK }) => ({ layer, value: topK.value }))
 */
export function saturation(
  trace: RoutingTrace,
  final: RoutingTrace,
  { firstChoice = true, ...options }: SaturationOptions = {},
): Saturation[] {
  const needs = firstChoice ? (["rankOrder"] as const) : [];
  const [early, late] = [choices("saturation", trace, ...needs), choices("saturation", final, ...needs)];
  sameText(trace, final);
  const { nExperts, topK, tokenIds } = trace;
  const n = tokenIds.length;
  const setChance = overlapChance("meanOverlap", trace, n, options);
  const firstChance = meanOfDraws([0, 1], [1 - 1 / nExperts, 1 / nExperts], n, options);
  return early.map(({ layer, experts }, row) => {
    const other = late[row]!.experts;
    const sharing = new Float64Array(topK + 1);
    let same = 0;
    for (let i = 0; i < experts.length; i += topK) {
      sharing[sharedExperts(experts, i, other, i, topK)]! += 1;
      if (experts[i] === other[i]) same += 1;
    }
    return {
      layer,
      topK: {
        value: overlapOf("meanOverlap", sharing),
        byLoad: topK * productOfShares(experts, other, 1, nExperts),
        chance: setChance,
      },
      firstChoice: firstChoice
        ? { value: same / n, byLoad: productOfShares(experts, other, topK, nExperts), chance: firstChance }
        : null,
    };
  });
}

/** Σ p q over the experts' shares of every step-th choice. */
function productOfShares(a: Uint16Array, b: Uint16Array, step: number, nExperts: number): number {
  const shares = [a, b].map((experts) => {
    const counts = new Float64Array(nExperts);
    for (let i = 0; i < experts.length; i += step) counts[experts[i]!]! += step / experts.length;
    return counts;
  });
  return shares[0]!.reduce((sum, p, e) => sum + p * shares[1]![e]!, 0);
}

function sameText(a: RoutingTrace, b: RoutingTrace): void {
  for (const key of ["nExperts", "topK"] as const)
    if (a[key] !== b[key]) throw new RangeError(`saturation: ${key} must be ${a[key]} in both traces, got ${b[key]}`);
  if (a.layers.join() !== b.layers.join())
    throw new RangeError(
      `saturation: layers must be ${a.layers.join(", ")} in both traces, got ${b.layers.join(", ")}`,
    );
  if (a.tokenIds.length !== b.tokenIds.length)
    throw new RangeError(
      `saturation: both traces must hold the same tokens (${a.tokenIds.length}), got ${b.tokenIds.length}`,
    );
  const differs = a.tokenIds.findIndex((id, t) => id !== b.tokenIds[t]);
  if (differs >= 0)
    throw new RangeError(
      `saturation: both traces must hold the same tokens (${a.tokenIds[differs]} at ${differs}), got ${b.tokenIds[differs]}`,
    );
}
