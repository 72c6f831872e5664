import type { RoutingTrace } from "../trace/record.ts";
import { type Chance, inParts, type SimulationOptions, simulate } from "./chance.ts";
import { choices } from "./choices.ts";
import { jensenShannon } from "./jensenShannon.ts";
import { checkLabels, type Labels } from "./labels.ts";
import { shuffle } from "./random.ts";
import { groupCounts, unitsOf } from "./units.ts";

/** How differently the experts of one layer are called for. */
export interface RoutingDivergence {
  /** The model's layer number. */
  layer: number;
  /** Jensen–Shannon divergence of two experts' tokens over the labels, in bits, 0 … 1: [n_experts, n_experts]; NaN for an unused expert. */
  bits: Float64Array;
  /** Over the pairs of used experts, what it would be if labels meant nothing to any of them. */
  mean: { value: number; chance: Chance };
}

/**
 * Routing divergence of experts: of which groups of tokens (domains, classes, positions) each expert's tokens are,
 * compared pair by pair; 0 for two experts with the same clientele. 50 shuffles unless told otherwise.
 * @formula Jensen–Shannon divergence of two experts' tokens over the labels, in bits
 * @chance units carry the same labels in random order; for the mean over pairs of experts
 * @throws RangeError for labels that are not the trace's, or fewer than two units in a group
 * @example routingDivergence(trace, tokenClassLabels(trace))[0].bits[2 * trace.nExperts + 7]
 */
export function routingDivergence(
  trace: RoutingTrace,
  labels: Labels,
  { unit = labels.unit, draws = 50, ...simulation }: { unit?: Labels["unit"] } & SimulationOptions = {},
): RoutingDivergence[] {
  const byLayer = choices("routingDivergence", trace);
  checkLabels("routingDivergence", trace, labels);
  const { nExperts } = trace;
  const options = inParts({ draws, ...simulation }, byLayer.length);
  return byLayer.map(({ layer, experts }, row) => {
    const units = unitsOf("routingDivergence", trace, experts, { ...labels, unit });
    const of = (group: Int32Array): Float64Array =>
      pairwise(groupCounts(units, group, labels.names.length, nExperts), nExperts);
    const bits = of(units.group);
    const group = Int32Array.from(units.group);
    const chance = simulate(
      "shuffled",
      (uniform) => {
        shuffle(group, uniform);
        return { value: meanOfPairs(of(group), nExperts) };
      },
      options(row),
    ).value;
    return { layer, bits, mean: { value: meanOfPairs(bits, nExperts), chance } };
  });
}

function pairwise(groups: readonly Float64Array[], nExperts: number): Float64Array {
  const clientele = Array.from({ length: nExperts }, (_, e) => groups.map((counts) => counts[e]!));
  const used = clientele.map((counts) => counts.some((n) => n > 0));
  const bits = new Float64Array(nExperts * nExperts).fill(Number.NaN);
  for (let i = 0; i < nExperts; i++)
    for (let j = 0; j <= i; j++)
      if (used[i]! && used[j]!)
        bits[i * nExperts + j] = bits[j * nExperts + i] = jensenShannon([clientele[i]!, clientele[j]!]);
  return bits;
}

function meanOfPairs(bits: Float64Array, nExperts: number): number {
  let [sum, n] = [0, 0];
  for (let i = 0; i < nExperts; i++)
    for (let j = 0; j < i; j++) {
      const value = bits[i * nExperts + j]!;
      if (Number.isNaN(value)) continue;
      sum += value;
      n += 1;
    }
  return sum / n;
}
