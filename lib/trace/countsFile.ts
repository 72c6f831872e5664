import type { ByteSink, ByteSource } from "../checkpoint/bytes.ts";
import { CheckpointError, shown } from "../errors.ts";
import type { ExpertCounts } from "./counts.ts";
import { openParquet, ParquetStream } from "./parquet.ts";

/** Writes counts as Parquet: one row per layer and expert, with the columns `layer`, `expert` and `count`. */
export async function writeCounts(sink: ByteSink, { counts, ...head }: ExpertCounts): Promise<void> {
  const { nExperts, layers } = head;
  const column = (value: (row: number) => number): Int32Array => Int32Array.from(counts, (_, row) => value(row));
  const stream = new ParquetStream(sink, { kind: "counts", ...head });
  await stream.group([
    { name: "layer", type: "uint16", data: column((row) => layers[Math.floor(row / nExperts)]!) },
    { name: "expert", type: "uint16", data: column((row) => row % nExperts) },
    { name: "count", type: "float64", data: counts },
  ]);
  await stream.end();
}

/**
 * Reads counts that {@link writeCounts} wrote.
 * @throws CheckpointError for a file that is damaged or holds something else
 */
export async function readCounts(source: ByteSource): Promise<ExpertCounts> {
  const file = await openParquet(source);
  const { metadata, groups, columns } = file;
  const refuse = (what: string, expected: string, got: unknown): never => {
    throw new CheckpointError(`${source.name}: ${what} must be ${expected}, got ${shown(got)}`);
  };
  const { kind, nExperts, topK, layers } = metadata as unknown as ExpertCounts & { kind: unknown };
  if (kind !== "counts") refuse("the file", "counts", kind);
  if (!Number.isInteger(nExperts) || nExperts < 1) refuse("nExperts", "a whole number from 1 on", nExperts);
  if (topK !== null && !(Number.isInteger(topK) && topK >= 1 && topK <= nExperts))
    refuse("topK", `from 1 to nExperts (${nExperts}), or null`, topK);
  if (!Array.isArray(layers) || !layers.every((layer, i) => Number.isInteger(layer) && layer > (layers[i - 1] ?? -1)))
    refuse("layers", "layer numbers that rise", layers);
  if (groups.length !== 1 || groups[0] !== layers.length * nExperts)
    refuse("rows", `${layers.length * nExperts} in one group`, groups);
  const recorder = metadata["source"] as ExpertCounts["source"] | undefined;
  if (typeof recorder?.engine !== "string" || typeof recorder.model !== "string")
    return refuse("source", "an engine and a model", recorder);
  if (!columns.includes("count")) refuse("columns", 'complete with "count"', columns);
  const counts = Float64Array.from((await file.group(0)).get("count") as ArrayLike<number>);
  const wrong = counts.find((count) => !(count >= 0 && count < Infinity));
  if (wrong !== undefined) refuse("count", "a number of at least 0", wrong);
  return { source: recorder, nExperts, topK, layers, counts };
}
