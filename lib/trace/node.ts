/* oxlint-disable no-restricted-imports -- where traces meet the disk */
import { randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fileSource } from "../checkpoint/node.ts";
import { CheckpointError } from "../errors.ts";
import type { ByteSink } from "./parquet.ts";
import type { RoutingTrace } from "./record.ts";
import { readTrace } from "./traceReader.ts";
import { TraceWriter } from "./traceWriter.ts";

/**
 * Writes a file whole or not at all: under a temporary name beside it, then renamed over it.
 * @param write hands the bytes to the sink, in order
 * @throws CheckpointError where the file cannot be written; and what `write` throws, with nothing left behind
 */
export async function writeWhole(path: string, write: (sink: ByteSink) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.${randomUUID()}.tmp`);
  const orRefuse = async <T>(action: Promise<T>): Promise<T> =>
    action.catch((cause: unknown) => {
      throw new CheckpointError(`${path}: must be writable, got ${(cause as Error).message}`, { cause });
    });
  const handle = await orRefuse(open(temporary, "wx"));
  try {
    await write((bytes) => orRefuse(handle.writeFile(bytes)));
    await orRefuse(handle.sync());
    await handle.close();
    await orRefuse(rename(temporary, path));
  } catch (error) {
    await handle.close().catch(() => {}); // what failed first is what to report
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

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
