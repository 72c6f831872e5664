import { fileSource } from "../checkpoint/node.ts";
import { CheckpointError } from "../errors.ts";
import { mergeSketches, type Sketch, sketch } from "../metrics/sketch.ts";
import { mergeCounts } from "../trace/counts.ts";
import { readCounts } from "../trace/countsFile.ts";
import { openParquet } from "../trace/parquet.ts";
import type { RoutingTrace } from "../trace/record.ts";
import { joinTraces } from "../trace/sequences.ts";
import { openTrace } from "../trace/traceReader.ts";
import { type Command, parse, UsageError, wholeNumber } from "./command.ts";
import { ELSEWHERE, SECTIONS, type Section, type Source } from "./metricsSections.ts";
import { type Progress, progressLine } from "./progress.ts";
import { table } from "./table.ts";

/** What one file gives; without `whole`, a part of a trace at a time is in memory and only its sketch is kept. */
async function readSource(path: string, whole: boolean, line: Progress): Promise<Source> {
  const source = await fileSource(path);
  try {
    const { metadata } = await openParquet(source);
    if (metadata["kind"] === "counts") return { counts: await readCounts(source), sketch: null, trace: null };
    const file = await openTrace(source);
    const parts: RoutingTrace[] = [];
    let all: Sketch | undefined;
    for await (const part of file.parts()) {
      all = mergeSketches([...(all === undefined ? [] : [all]), sketch(part)]);
      if (whole) parts.push(part);
      line.show(`${path}  ${all.nTokens}/${file.nTokens} tokens`);
    }
    if (all === undefined) throw new CheckpointError(`${path}: must hold at least one token, got none`);
    return {
      counts: { source: file.source, nExperts: all.nExperts, topK: all.topK, layers: all.layers, counts: all.counts },
      sketch: all,
      trace: whole ? joinTraces(parts) : null,
    };
  } finally {
    await source.close();
  }
}

/** Files of one model as one; counts and traces together are counts. */
function merged(sources: readonly Source[]): Source {
  const [sketches, traces] = [sources.map((source) => source.sketch), sources.map((source) => source.trace)];
  const isWhole = <T>(part: T | null): part is T => part !== null;
  return {
    counts: mergeCounts(sources.map(({ counts }) => counts)),
    sketch: sketches.every(isWhole) ? mergeSketches(sketches) : null,
    trace: traces.every(isWhole) ? joinTraces(traces) : null,
  };
}

/** The sections that were asked for by name. */
function chosen(only: string | undefined): readonly Section[] {
  if (only === undefined) return SECTIONS;
  return only.split(",").map((name) => {
    const section = SECTIONS.find((one) => one.name === name.trim());
    if (section !== undefined) return section;
    const known = SECTIONS.map((one) => one.name).join(", ");
    throw new UsageError(`moescope: --only must name some of ${known}, got ${name}`);
  });
}

interface Report {
  results: Record<string, unknown>;
  tables: string[];
  refused: Record<string, string>;
}

const KINDS = { counts: "counts", sketch: "a trace", trace: "a trace" } as const;

/** Every section that the source allows, and why not for the others. */
function report(source: Source, sections: readonly Section[], draws: number | undefined, line: Progress): Report {
  const all: Report = { results: {}, tables: [], refused: {} };
  for (const [i, section] of sections.entries()) {
    const { name, title, from } = section;
    if (source[from] === null) {
      all.refused[name] = `needs ${KINDS[from]}, and not only counts`;
      continue;
    }
    const onProgress = (done: number, total: number): void =>
      line.show(`${name} (${i + 1}/${sections.length})  ${Math.floor((100 * done) / total)} %`);
    try {
      const { result, head, rows } = section.of(source, { onProgress, ...(draws !== undefined && { draws }) });
      all.results[name] = result;
      all.tables.push(`${title} [${name}]\n${table(head, rows)}`);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      all.refused[name] = error.message;
    }
  }
  return all;
}

function asText({ counts, sketch: whole }: Source, { tables, refused }: Report): string {
  const { source, nExperts, topK } = counts;
  const tokens = whole === null ? "" : `, ${whole.nTokens} tokens`;
  const reasons = Object.entries({ ...refused, ...ELSEWHERE }).map(([name, reason]) => `${name}: ${reason}`);
  return [
    [
      `${source.model}, recorded by ${source.engine}: ${nExperts} experts, ${topK ?? "unknown"} per token${tokens}`,
      topK === null
        ? "What chance gives depends on the experts per token: import with --top-k to see it."
        : "In brackets: the central 95 % of what chance alone gives; + above it, − below it.",
    ].join("\n"),
    ...tables,
    `Not here:\n${reasons.join("\n")}`,
  ].join("\n\n");
}

export const metricsCommand: Command = {
  usage: "moescope metrics FILE... [--only NAME,NAME] [--draws N] [--json]",
  summary: "How the experts are used, by every measure that the files allow, beside what chance alone gives.",
  details: [
    "FILE     Parquet files of one model that moescope trace or moescope import wrote, taken together; traces with",
    "         counts among them count as counts",
    `--only   some of ${SECTIONS.map(({ name }) => name).join(", ")}`,
    "         (load, coactivation and deviceBalance keep only a part of a trace in memory, however long it is)",
    "--draws  random repetitions behind each chance (default: each metric's own number)",
    "--json   machine-readable, with all that each metric has; null is not a number",
  ].join("\n"),
  async run(args) {
    const { values, positionals: paths } = parse(args, ["FILE..."], {
      only: { type: "string" },
      draws: { type: "string" },
      json: { type: "boolean" },
    });
    const sections = chosen(values.only);
    const draws = values.draws === undefined ? undefined : wholeNumber("--draws", values.draws);
    if (draws !== undefined && draws < 2) throw new UsageError(`moescope: --draws must be at least 2, got ${draws}`);
    const line = progressLine();
    const sources: Source[] = [];
    for (const path of paths)
      sources.push(
        await readSource(
          path,
          sections.some(({ from }) => from === "trace"),
          line,
        ),
      );
    const source = merged(sources);
    const found = report(source, sections, draws, line);
    line.clear();
    if (values.json !== true) return console.log(asText(source, found));
    const { source: recorder, nExperts, topK, layers } = source.counts;
    const { results: metrics, refused } = found;
    const head = { source: recorder, nExperts, topK, layers, nTokens: source.sketch?.nTokens ?? null };
    const plain = (_: string, value: unknown): unknown =>
      ArrayBuffer.isView(value) ? Array.from(value as Float64Array) : value;
    console.log(JSON.stringify({ ...head, metrics, refused: { ...refused, ...ELSEWHERE } }, plain));
  },
};
