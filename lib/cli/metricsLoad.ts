import type { SimulationOptions } from "../metrics/chance.ts";
import { loadChance } from "../metrics/loadChance.ts";
import { type LoadShape, loadShape } from "../metrics/loadShape.ts";
import { type LoadStatistics, loadStatistics } from "../metrics/loadStatistics.ts";
import type { ExpertCounts } from "../trace/counts.ts";
import { besideChance, figure } from "./table.ts";

/** A layer's load: beside chance, or without it where experts per token are not known. */
export type LayerLoad = { layer: number } & (LoadStatistics | (LoadShape & { chance: null }));

/** The load of each layer of a trace or of counts. */
export function layerLoads({ counts, layers, nExperts, topK }: ExpertCounts, options: SimulationOptions): LayerLoad[] {
  const chances = new Map<number, LoadStatistics["chance"]>();
  return layers.map((layer, row) => {
    const load = counts.subarray(row * nExperts, (row + 1) * nExperts);
    if (topK === null) return { layer, ...loadShape(load), chance: null };
    const nTokens = load.reduce((sum, n) => sum + n, 0) / topK;
    let chance = chances.get(nTokens);
    if (chance === undefined && Number.isInteger(nTokens)) {
      chance = loadChance({ nExperts, topK, nTokens }, options);
      chances.set(nTokens, chance);
    }
    return { layer, ...loadStatistics(load, chance === undefined ? { topK } : { topK, chance }) };
  });
}

export const LOAD_COLUMNS = [
  ["maxShare", "largest share"],
  ["maxVio", "MaxVio"],
  ["cv", "variation"],
  ["gini", "Gini"],
  ["effectiveExperts", "effective experts"],
] as const;

export function loadRow({ layer, chance, ...load }: LayerLoad): string[] {
  const cells = LOAD_COLUMNS.map(([name]) =>
    chance === null ? figure(load[name]) : besideChance(load[name], chance[name]),
  );
  return [`${layer}`, ...cells];
}
