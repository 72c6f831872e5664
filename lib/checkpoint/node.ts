import { randomUUID } from "node:crypto";
import { type FileHandle, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { CheckpointError, listed, shown } from "../errors.ts";
import type { ByteSink, ByteSource } from "./bytes.ts";
import { type Checkpoint, openCheckpoint } from "./checkpoint.ts";
import { readIndex } from "./safetensors.ts";
import { encodeSafetensors, type TensorData } from "./write.ts";

const SINGLE = "model.safetensors";
const INDEX = "model.safetensors.index.json";

/** Every shard stays open, and systems commonly allow a process 1024 open files. */
const MAX_SHARDS = 512;

/** The operating system's refusal, such as `ENOSPC: no space left on device, write`, as one of ours. */
export function refused(where: string, expected: string, cause: unknown): CheckpointError {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new CheckpointError(`${where}: ${expected}, got ${reason}`, { cause });
}

/**
 * Opens a file for positioned reads; `close()` it at the end.
 * @throws CheckpointError where there is no readable file
 */
export async function fileSource(path: string): Promise<ByteSource> {
  let handle: FileHandle;
  let byteLength: number;
  try {
    // Asked before opening: to open a pipe would wait for its writer.
    const found = await stat(path);
    if (!found.isFile()) throw new Error("something else");
    byteLength = found.size;
    handle = await open(path, "r");
  } catch (cause) {
    throw refused(path, "must be a readable file", cause);
  }
  const read = async (start: number, end: number): Promise<Uint8Array> => {
    const bytes = new Uint8Array(end - start);
    for (let done = 0; done < bytes.length; ) {
      const { bytesRead } = await handle
        .read(bytes, done, bytes.length - done, start + done)
        .catch((cause: unknown) => {
          throw refused(path, `bytes ${start} to ${end} must be readable`, cause);
        });
      if (bytesRead === 0)
        throw new CheckpointError(`${path}: file must keep its ${byteLength} bytes, got its end at ${start + done}`);
      done += bytesRead;
    }
    return bytes;
  };
  return { name: path, byteLength, file: handle.fd, read, close: () => handle.close() };
}

async function readFolder(path: string): Promise<string[]> {
  try {
    return (await readdir(path)).sort();
  } catch (cause) {
    throw refused(path, "must be a folder or a .safetensors file", cause);
  }
}

async function openIndex(path: string): Promise<Map<string, string>> {
  const source = await fileSource(path);
  try {
    return await readIndex(source);
  } finally {
    await source.close();
  }
}

/** Opens the files one after the other; none stays open where one fails. */
async function openFiles(
  name: string,
  paths: ReadonlyMap<string, string>,
  index?: ReadonlyMap<string, string>,
): Promise<Checkpoint> {
  const sources = new Map<string, ByteSource>();
  try {
    for (const [file, path] of paths) sources.set(file, await fileSource(path));
    return await openCheckpoint(name, sources, index);
  } catch (error) {
    await Promise.all([...sources.values()].map((source) => source.close()));
    throw error;
  }
}

/**
 * Opens a checkpoint on disk: a `.safetensors` file, or a folder with `model.safetensors` or with shards and their
 * `model.safetensors.index.json`. Only headers are read; `close()` it at the end.
 * @throws CheckpointError naming the file and what is wrong with it
 * @example const checkpoint = await openFolder("models/tiny");
 */
export async function openFolder(path: string): Promise<Checkpoint> {
  if (path.endsWith(".safetensors")) return openFiles(path, new Map([[basename(path), path]]));
  const present = await readFolder(path);
  if (present.includes(SINGLE)) return openFiles(path, new Map([[SINGLE, join(path, SINGLE)]]));
  if (!present.includes(INDEX))
    throw new CheckpointError(
      `${path}: folder must hold ${SINGLE} or ${INDEX}, got ${listed(present.map(shown)) || "nothing"}`,
    );
  const index = await openIndex(join(path, INDEX));
  const shards = [...new Set(index.values())].sort();
  if (shards.length > MAX_SHARDS)
    throw new CheckpointError(
      `${join(path, INDEX)}: index must name at most ${MAX_SHARDS} files, got ${shards.length}`,
    );
  return openFiles(path, new Map(shards.map((shard) => [shard, join(path, shard)])), index);
}

/** How the name of a file begins that is being written, to become `path`. */
function unfinished(path: string): string {
  return `.${basename(path)}.`;
}

/** Removes what processes that were killed left of writing `path`; not while somebody writes it. */
export async function removeUnfinished(path: string): Promise<void> {
  const folder = dirname(path);
  const files = await readdir(folder).catch(() => []);
  const left = files.filter((file) => file.startsWith(unfinished(path)) && file.endsWith(".tmp"));
  await Promise.all(left.map((file) => rm(join(folder, file), { force: true })));
}

/**
 * Writes a file whole or not at all: under a temporary name beside it, then renamed over it. After any failure the former
 * file is as it was and the temporary one is gone.
 * @param write hands the bytes to the sink
 * @throws CheckpointError where the file cannot be written, or something else than a file is there (renaming over
 * /dev/null would take it from everybody); and what `write` throws
 */
export async function writeWhole(path: string, write: (sink: ByteSink) => Promise<void>): Promise<void> {
  const temporary = join(dirname(path), `${unfinished(path)}${randomUUID()}.tmp`);
  const orRefuse = async <T>(action: Promise<T>): Promise<T> =>
    action.catch((cause: unknown) => {
      throw refused(path, "must be writable", cause);
    });
  const there = await stat(path).catch(() => null);
  if (there !== null && !there.isFile())
    throw refused(path, "must be writable", new Error("something else than a file"));
  const handle = await orRefuse(open(temporary, "wx"));
  try {
    await write((bytes) => orRefuse(handle.writeFile(bytes)));
    await orRefuse(handle.sync());
    await orRefuse(handle.close());
    await orRefuse(rename(temporary, path));
  } catch (error) {
    await handle.close().catch(() => {}); // what failed first is what to report
    await rm(temporary, { force: true }).catch(() => {});
    throw error;
  }
}

/**
 * Writes a safetensors file, whole or not at all.
 * @throws what {@link writeWhole} and {@link encodeSafetensors} throw
 */
export async function writeSafetensors(
  path: string,
  tensors: readonly TensorData[],
  { metadata = {} }: { metadata?: Readonly<Record<string, string>> } = {},
): Promise<void> {
  const pieces = encodeSafetensors(tensors, metadata);
  await writeWhole(path, async (sink) => {
    for (const piece of pieces) await sink(piece);
  });
}
