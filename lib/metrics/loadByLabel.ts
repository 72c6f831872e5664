import type { RoutingTrace } from "../trace/record.ts";
import type { SimulationOptions } from "./chance.ts";
import { choices } from "./choices.ts";
import { checkLabels, type Labels } from "./labels.ts";
import { loadChance } from "./loadChance.ts";
import { type LoadStatistics, loadStatistics } from "./loadStatistics.ts";

/** The load of one group of tokens in one layer. */
export interface GroupLoad extends LoadStatistics {
  /** The model's layer number. */
  layer: number;
  /** The name of the group. */
  group: string;
}

/**
 * Load of each group of tokens in each layer: over windows of tokens (drift), by position, domain or token class.
 * @formula as `loadStatistics`, for each group of tokens
 * @chance as `loadStatistics`, with the group's number of tokens
 * @returns layer by layer, groups in the labels' order
 * @throws RangeError for labels that are not the trace's
 * @example loadByLabel(trace, windowLabels(trace, 500)).map(({ layer, group, maxVio }) => ({ layer, group, maxVio }))
 */
export function loadByLabel(trace: RoutingTrace, labels: Labels, options: SimulationOptions = {}): GroupLoad[] {
  const byLayer = choices("loadByLabel", trace);
  checkLabels("loadByLabel", trace, labels);
  const { nExperts, topK } = trace;
  const sizes = labels.names.map((_, label) => labels.of.reduce((n, of) => n + Number(of === label), 0));
  const chances = new Map(sizes.map((nTokens) => [nTokens, loadChance({ nExperts, topK, nTokens }, options)]));
  return byLayer.flatMap(({ layer, experts }) => {
    const counts = labels.names.map(() => new Float64Array(nExperts));
    for (let i = 0; i < experts.length; i++) counts[labels.of[Math.floor(i / topK)]!]![experts[i]!]! += 1;
    return labels.names.map((group, label) => ({
      layer,
      group,
      ...loadStatistics(counts[label]!, { topK, chance: chances.get(sizes[label]!)! }),
    }));
  });
}
