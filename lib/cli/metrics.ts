import { fileSource } from "../checkpoint/node.ts";
import { countExperts } from "../metrics/countExperts.ts";
import { loadChance } from "../metrics/loadChance.ts";
import { type LoadShape, loadShape } from "../metrics/loadShape.ts";
import { type LoadStatistics, loadStatistics } from "../metrics/loadStatistics.ts";
import type { ExpertCounts } from "../trace/counts.ts";
import { readCounts } from "../trace/countsFile.ts";
import { openParquet } from "../trace/parquet.ts";
import { openTrace, type TraceFile } from "../trace/traceReader.ts";
import { type Command, parse } from "./command.ts";
import { progressLine } from "./progress.ts";

/** The counts of a trace, a part in memory at a time. */
async function countTrace(file: TraceFile): Promise<ExpertCounts> {
  const { source, nExperts, topK, layers, nTokens } = file;
  const counts = new Float64Array(layers.length * nExperts);
  const line = progressLine();
  let done = 0;
  for await (const part of file.parts()) {
    for (const [i, n] of countExperts(part, "moescope metrics").entries()) counts[i]! += n;
    done += part.tokenIds.length;
    line.show(`${done}/${nTokens} tokens`);
  }
  line.clear();
  return { source, nExperts, topK, layers, counts };
}

async function countsOf(path: string): Promise<ExpertCounts> {
  const source = await fileSource(path);
  try {
    const { metadata } = await openParquet(source);
    return metadata["kind"] === "counts" ? await readCounts(source) : await countTrace(await openTrace(source));
  } finally {
    await source.close();
  }
}

/** A layer's load: beside chance, or without it where experts per token are not known. */
type LayerLoad = { layer: number } & (LoadStatistics | (LoadShape & { chance: null }));

function layerLoads({ counts, layers, nExperts, topK }: ExpertCounts): LayerLoad[] {
  const chances = new Map<number, LoadStatistics["chance"]>();
  return layers.map((layer, row) => {
    const load = counts.subarray(row * nExperts, (row + 1) * nExperts);
    if (topK === null) return { layer, ...loadShape(load), chance: null };
    const nTokens = load.reduce((sum, n) => sum + n, 0) / topK;
    let chance = chances.get(nTokens);
    if (chance === undefined && Number.isInteger(nTokens)) {
      chance = loadChance({ nExperts, topK, nTokens });
      chances.set(nTokens, chance);
    }
    return { layer, ...loadStatistics(load, chance === undefined ? { topK } : { topK, chance }) };
  });
}

const COLUMNS = [
  ["maxShare", "largest share"],
  ["maxVio", "MaxVio"],
  ["cv", "variation"],
  ["gini", "Gini"],
  ["effectiveExperts", "effective experts"],
] as const;

function table({ source, nExperts, topK }: ExpertCounts, loads: LayerLoad[]): string {
  const rows = loads.map(({ layer, chance, ...load }) => [
    `${layer}`,
    ...COLUMNS.map(([name]) => {
      const value = load[name].toFixed(3);
      return chance === null ? value : `${value} (${chance[name].low.toFixed(3)} to ${chance[name].high.toFixed(3)})`;
    }),
  ]);
  const lines = [["layer", ...COLUMNS.map(([, title]) => title)], ...rows];
  const widths = lines[0]!.map((_, c) => Math.max(...lines.map((line) => line[c]!.length)));
  return [
    `${source.model}, recorded by ${source.engine}: ${nExperts} experts, ${topK ?? "unknown"} per token`,
    topK === null
      ? "What chance gives depends on the experts per token: import with --top-k to see it."
      : "In brackets: the central 95 % of what uniform routing of as many tokens gives.",
    "",
    ...lines.map((line) =>
      line
        .map((cell, c) => cell.padEnd(widths[c]!))
        .join("  ")
        .trimEnd(),
    ),
  ].join("\n");
}

export const metricsCommand: Command = {
  usage: "moescope metrics TRACE [--json]",
  summary: "How evenly each layer uses its experts, beside what chance alone gives.",
  details: "TRACE    a Parquet file that moescope trace or moescope import wrote\n--json   machine-readable",
  async run(args) {
    const { values, positionals } = parse(args, ["TRACE"], { json: { type: "boolean" } });
    const counts = await countsOf(positionals[0]!);
    const layers = layerLoads(counts);
    if (values.json !== true) {
      console.log(table(counts, layers));
      return;
    }
    const { source, nExperts, topK } = counts;
    const plain = (_: string, value: unknown): unknown => (value instanceof Float64Array ? [...value] : value);
    console.log(JSON.stringify({ source, nExperts, topK, layers }, plain, 2));
  },
};
