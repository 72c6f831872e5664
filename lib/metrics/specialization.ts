import type { RoutingTrace } from "../trace/record.ts";
import { type Chance, inParts, type Measure, type SimulationOptions, simulate } from "./chance.ts";
import { choices } from "./choices.ts";
import { jensenShannon } from "./jensenShannon.ts";
import { checkLabels, type Labels } from "./labels.ts";
import { shuffle } from "./random.ts";
import { groupCounts, resampler, type Units, unitsOf } from "./units.ts";

/** How differently groups of tokens use the experts of one layer. */
export interface Specialization extends Measure {
  /** The model's layer number. */
  layer: number;
  groups: string[];
  /** Share of each group's assignments, a row a group, each summing to 1: [n_groups][n_experts]. Mixtral's figure 7. */
  assignmentShare: Float64Array[];
  /** Share of each group's tokens that use the expert, each row summing to top_k: [n_groups][n_experts]. OLMoE's figure 22. */
  tokenShare: Float64Array[];
  /** The line of no preference in each kind of share: 1/E and k/E. */
  uniform: { assignmentShare: number; tokenShare: number };
  /** Generalised Jensen–Shannon divergence of the groups' loads, in bits. */
  value: number;
  /** What it would be if each expert served one group alone, log2 of the number of groups. */
  most: number;
  /** The divergence if labels meant nothing: units carry the same labels in random order. */
  chance: Chance;
  /** The divergence less its small-sample bias, which the bootstrap tells; below 0 only by chance, in bits. */
  corrected: number;
  /** 95 % interval of that: basic bootstrap of units within groups, in bits. */
  interval: { low: number; high: number };
}

export interface SpecializationOptions extends SimulationOptions {
  /** Weights of the groups in the divergence; equal where absent: [n_groups]. */
  weights?: ArrayLike<number>;
  /** What is shuffled and resampled; the labels' own unit where absent. Tokens of one text are not independent. */
  unit?: Labels["unit"];
}

/**
 * How differently the groups of tokens (domains, positions, classes, windows) use the experts of each layer: OLMoE's
 * domain specialization, with one number for it, its chance level and an interval. 200 draws unless told otherwise.
 * @formula Jensen–Shannon divergence of the groups' loads, in bits; shares n_ge / Σ_e n_ge (assignments) and n_ge /
 * T_g (tokens)
 * @chance units carry the same labels in random order; the line of no preference is 1/E and k/E
 * @throws RangeError for labels that are not the trace's, or fewer than two units in a group
 * @see Muennighoff et al. 2024, arXiv:2409.02060, section 5 (shares of tokens); Jiang et al. 2024, arXiv:2401.04088,
 * figure 7 (shares of assignments, although its caption says tokens)
 * @example specialization(trace, domainLabels(trace)).map(({ value, corrected, interval }) => ({ value, corrected, interval }))
 */
export function specialization(
  trace: RoutingTrace,
  labels: Labels,
  { weights, unit = labels.unit, ...simulation }: SpecializationOptions = {},
): Specialization[] {
  const byLayer = choices("specialization", trace);
  checkLabels("specialization", trace, labels);
  const { nExperts, topK } = trace;
  const nGroups = labels.names.length;
  const options = inParts({ draws: 200, ...simulation }, 2 * byLayer.length);
  return byLayer.map(({ layer, experts }, row) => {
    const units = unitsOf("specialization", trace, experts, { ...labels, unit });
    const countsOf = (group: Int32Array, picked?: Int32Array): Float64Array[] =>
      groupCounts(units, group, nGroups, nExperts, picked);
    const counts = countsOf(units.group);
    const value = jensenShannon(counts, weights);
    const chance = shuffledChance(units, (group) => jensenShannon(countsOf(group), weights), options(2 * row));
    const resample = resampler(units, nGroups);
    const { again } = simulate(
      "simulated",
      (uniform) => ({ again: jensenShannon(countsOf(units.group, resample(uniform)), weights) }),
      options(2 * row + 1),
    );
    return {
      layer,
      groups: labels.names,
      assignmentShare: counts.map((group) => share(group)),
      tokenShare: counts.map((group) => share(group).map((p) => p * topK)),
      uniform: { assignmentShare: 1 / nExperts, tokenShare: topK / nExperts },
      value,
      most: Math.log2(nGroups),
      chance,
      corrected: 2 * value - again.mean,
      interval: { low: Math.max(0, 2 * value - again.high), high: Math.max(0, 2 * value - again.low) },
    };
  });
}

/** What a measure of labelled units gives where the units carry the same labels in random order. */
function shuffledChance(units: Units, measure: (group: Int32Array) => number, options: SimulationOptions): Chance {
  const group = Int32Array.from(units.group);
  return simulate(
    "shuffled",
    (uniform) => {
      shuffle(group, uniform);
      return { value: measure(group) };
    },
    options,
  ).value;
}

function share(counts: Float64Array): Float64Array {
  const total = counts.reduce((sum, n) => sum + n, 0);
  return counts.map((n) => n / total);
}
