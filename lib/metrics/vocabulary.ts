import type { RoutingTrace } from "../trace/record.ts";
import { type Chance, inParts, type SimulationOptions, simulate } from "./chance.ts";
import { choices } from "./choices.ts";
import { oneOf } from "./oneOf.ts";
import { shuffle } from "./random.ts";
import { type Grouping, groupsOf, idsOf, type TokenGroups } from "./tokenGroups.ts";
import { vocabularyChance } from "./vocabularyChance.ts";

/** How faithful ids are to their experts in one layer. Arrays have one entry for each id, ids rising: [n_ids]. */
export interface VocabularySpecialization {
  /** The model's layer number. */
  layer: number;
  ids: Int32Array;
  /** How often each id was seen. */
  seen: Uint32Array;
  /** The expert that served the id most often, the lowest where several did. */
  expert: Uint16Array;
  /** The part of the times seen that this expert served. */
  share: Float64Array;
  /** share − its expected value under uniform routing for an id seen that often. */
  corrected: Float64Array;
  /** Over ids, each counting once however often it was seen, as in OLMoE's code. */
  mean: {
    value: number;
    /** The mean of `corrected`: 0 for a random router whatever the text. */
    corrected: number;
    /** Under uniform routing, and for the layer's own choices in random order, which keeps its load. */
    chance: { uniform: Chance; shuffled: Chance };
  };
}

export interface VocabularyOptions extends SimulationOptions {
  /** Which id a token's experts are held against: its own, the true next one, or the one that the model predicted. */
  grouping?: Grouping;
  /** Needed for "predicted": the model's argmax at each token: [n_tokens]. */
  predictedIds?: ArrayLike<number>;
  /** All top_k choices, or only the first, which needs the rank order. */
  choice?: "topK" | "first";
  /** Ids that were seen less often are left out: 1 as in OLMoE's layer plot, 10 as in its table 8. */
  minSeen?: number;
}

/**
 * Vocabulary specialization: for each token id the share of its commonest expert, averaged over ids. The plain mean is
 * mostly an effect of rare ids (an id seen once has 1), so models with different E and k cannot be compared by it; the
 * corrected one can. 50 shuffles unless told otherwise. NaN where no id was seen often enough.
 * @formula mean over ids of max_e N(id, e) / N(id); corrected: less its chance for an id seen as often
 * @chance uniform routing, E[max_e count_e] / n for an id seen n times (see `vocabularyChance`); and the layer's
 * choices in random order
 * @throws RangeError for a trace without token ids, or predictions that are missing
 * @see Muennighoff et al. 2024, arXiv:2409.02060, section 5 (vocabulary specialization), and its scripts/run_moe_analysis.py
 * @example vocabulary(trace, { grouping: "next" }).map(({ layer, mean }) => ({ layer, ...mean }))
 */
export function vocabulary(
  trace: RoutingTrace,
  { grouping = "input", predictedIds, choice = "topK", minSeen = 1, draws = 50, ...simulation }: VocabularyOptions = {},
): VocabularySpecialization[] {
  oneOf("vocabulary", "grouping", grouping, ["input", "next", "predicted"]);
  oneOf("vocabulary", "choice", choice, ["topK", "first"]);
  const byLayer = choices("vocabulary", trace, ...(choice === "first" ? (["rankOrder"] as const) : []));
  const groups = groupsOf(idsOf(trace, grouping, predictedIds), minSeen);
  const { nExperts, topK } = trace;
  const size = { nExperts, topK: choice === "first" ? 1 : topK };
  const { seed = 0 } = simulation;
  const byTimes = vocabularyChance(groups.seen, size, { seed });
  const expected = Float64Array.from(groups.seen, (n) => byTimes.get(n)!.mean);
  const options = inParts({ draws, ...simulation }, byLayer.length);
  return byLayer.map(({ layer, experts }, row) => {
    const tokens = groups.tokens.slice();
    const { expert, share } = commonest(groups, tokens, experts, topK, size);
    const shuffled = simulate(
      "shuffled",
      (uniform) => {
        shuffle(tokens, uniform);
        return { value: mean(commonest(groups, tokens, experts, topK, size).share) };
      },
      options(row),
    ).value;
    const corrected = share.map((value, i) => value - expected[i]!);
    const spread = Math.hypot(...Array.from(groups.seen, (n) => byTimes.get(n)!.deviation)) / groups.seen.length;
    const center = mean(expected);
    const uniform = {
      mean: center,
      low: center - 1.96 * spread,
      high: center + 1.96 * spread,
      method: "simulated",
    } as const;
    return {
      layer,
      ids: groups.ids,
      seen: groups.seen,
      expert,
      share,
      corrected,
      mean: { value: mean(share), corrected: mean(corrected), chance: { uniform, shuffled } },
    };
  });
}

/** For each id the expert that serves most of its tokens, and its share of them. */
function commonest(
  { seen, offsets }: TokenGroups,
  tokens: Int32Array,
  experts: Uint16Array,
  topK: number,
  { nExperts, topK: slots }: { nExperts: number; topK: number },
): { expert: Uint16Array; share: Float64Array } {
  const expert = new Uint16Array(seen.length);
  const share = new Float64Array(seen.length);
  const counts = new Uint32Array(nExperts);
  for (let i = 0; i < seen.length; i++) {
    counts.fill(0);
    for (let at = offsets[i]!; at < offsets[i + 1]!; at++)
      for (let slot = 0; slot < slots; slot++) counts[experts[tokens[at]! * topK + slot]!]! += 1;
    let best = 0;
    for (let e = 1; e < nExperts; e++) if (counts[e]! > counts[best]!) best = e;
    expert[i] = best;
    share[i] = counts[best]! / seen[i]!;
  }
  return { expert, share };
}

function mean(values: Float64Array): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
