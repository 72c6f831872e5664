// oxlint-disable-next-line no-restricted-imports -- where traces meet the disk
import { fileSource, writeWhole } from "../checkpoint/node.ts";
import type { RoutingTrace } from "./record.ts";
import { readTrace } from "./traceReader.ts";
import { TraceWriter } from "./traceWriter.ts";

/**
 * Writes a trace to a Parquet file.
 * @throws CheckpointError where the file cannot be written
 * @example await saveTrace("routing.parquet", trace);
 */
export async function saveTrace(path: string, trace: RoutingTrace): Promise<void> {
  await writeWhole(path, async (sink) => {
    const writer = new TraceWriter(sink);
    await writer.add(trace);
    await writer.end();
  });
}

/**
 * Reads a trace from a Parquet file that `saveTrace` or the command line wrote.
 * @throws CheckpointError for a file that is damaged or no trace
 * @example const trace = await loadTrace("routing.parquet");
 */
export async function loadTrace(path: string): Promise<RoutingTrace> {
  const source = await fileSource(path);
  try {
    return await readTrace(source);
  } finally {
    await source.close();
  }
}
