import { CheckpointError, shown } from "../errors.ts";
import type { ByteSource } from "./bytes.ts";
import { DTYPE_BITS, type Dtype } from "./dtype.ts";

/** Where one tensor lies in a file: row-major, little-endian. */
export interface TensorInfo {
  name: string;
  dtype: Dtype;
  /** Outermost axis first; [] is a scalar. */
  shape: readonly number[];
  /** Bytes of the file: from `start` up to, not including, `end`. */
  start: number;
  end: number;
}

export interface SafetensorsHeader {
  /** In the order of their bytes. */
  tensors: ReadonlyMap<string, TensorInfo>;
  metadata: Readonly<Record<string, string>>;
}

/** The largest public models keep some 150,000 tensors in all their files together. */
export const MAX_TENSORS = 1 << 18;

/** Room for {@link MAX_TENSORS} tensors with names and numbers of the usual length. */
export const MAX_HEADER_BYTES = 1 << 25;

/** Punctuation of one tensor's entry of up to 6 dimensions; parsed text takes memory by its punctuation. */
const TENSOR_MARKS = 16;

/** Punctuation of one tensor's line in an index, with as much again to spare. */
const INDEX_MARKS = 4;

/** What PyTorch and NumPy can hold. */
const MAX_RANK = 64;

/** A file that Git LFS has not fetched begins with the word "version ", which reads as a very long header. */
const LFS_POINTER = 0x206e6f6973726576n;

/** What was found in the place of something else; a nested value is named, not printed, for it may be of any depth. */
function found(value: unknown): string {
  if (Array.isArray(value))
    return value.some((item) => typeof item === "object" && item !== null) ? "a nested array" : shown(value);
  return typeof value === "object" && value !== null ? "an object" : shown(value);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A size or an offset: a whole number from 0 on that a double holds exactly. */
export function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** Counts the punctuation of what may be JSON, and the names of its outermost object, repeated ones too. */
function census(json: string): { marks: number; names: number } {
  let marks = 0;
  let names = 0;
  let depth = 0;
  for (let i = 0; i < json.length; i++) {
    const c = json[i];
    if (c === '"') {
      for (i++; i < json.length && json[i] !== '"'; i++) if (json[i] === "\\") i++;
    } else if (c === "{" || c === "[") {
      marks++;
      depth++;
    } else if (c === "}" || c === "]") depth--;
    else if (c === "," || c === ":") {
      marks++;
      if (c === ":" && depth === 1) names++;
    }
  }
  return { marks, names };
}

/**
 * Decodes a JSON object of not too many parts, refusing repeated names of its own level, of which `JSON.parse` would
 * silently keep the last. The result may have an own key `__proto__`, like any other.
 */
function parseObject(where: string, bytes: Uint8Array, marksPerTensor: number): Record<string, unknown> {
  const refuse = (instead: string, cause?: unknown): never => {
    throw new CheckpointError(`${where} must be a JSON object, got ${instead}`, { cause });
  };
  let json: string;
  try {
    json = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    return refuse("bytes that are not UTF-8", cause);
  }
  const { marks, names } = census(json);
  if (names > MAX_TENSORS || marks > MAX_TENSORS * marksPerTensor)
    throw new CheckpointError(`${where} must describe at most ${MAX_TENSORS} tensors, got more`);
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (cause) {
    return refuse("text that is not JSON", cause);
  }
  if (!isObject(value)) return refuse(found(value));
  const different = Object.keys(value).length;
  if (different !== names)
    throw new CheckpointError(`${where} must give each name once, got ${names} names of which ${different} differ`);
  return value;
}

async function headerEnd(source: ByteSource): Promise<number> {
  const { name, byteLength } = source;
  if (byteLength < 8) throw new CheckpointError(`${name}: file must have at least 8 bytes, got ${byteLength}`);
  const prefix = await source.read(0, 8);
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length === LFS_POINTER)
    throw new CheckpointError(`${name}: file must hold tensors, got a Git LFS pointer (fetch it with git lfs pull)`);
  if (length > MAX_HEADER_BYTES)
    throw new CheckpointError(`${name}: header must be at most ${MAX_HEADER_BYTES} bytes long, got ${length}`);
  const end = 8 + Number(length);
  if (end > byteLength)
    throw new CheckpointError(`${name}: header must end within the file's ${byteLength} bytes, got an end at ${end}`);
  return end;
}

function checkTensor(where: string, name: string, entry: unknown, dataStart: number): TensorInfo {
  if (!isObject(entry))
    throw new CheckpointError(`${where}: must be an object of dtype, shape and data_offsets, got ${found(entry)}`);
  const { dtype, shape, data_offsets: offsets } = entry;
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPE_BITS, dtype))
    throw new CheckpointError(
      `${where}: dtype must be one of ${Object.keys(DTYPE_BITS).join(", ")}, got ${found(dtype)}`,
    );
  if (!Array.isArray(shape) || shape.length > MAX_RANK || !shape.every(isCount))
    throw new CheckpointError(`${where}: shape must be up to ${MAX_RANK} whole numbers from 0 on, got ${found(shape)}`);
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount))
    throw new CheckpointError(`${where}: data_offsets must be two whole numbers from 0 on, got ${found(offsets)}`);
  const [start, end] = offsets as [number, number];
  const bytes = (shape.reduce((product: number, size: number) => product * size, 1) * DTYPE_BITS[dtype as Dtype]) / 8;
  if (end - start !== bytes)
    throw new CheckpointError(
      `${where}: data_offsets must span ${bytes} bytes for ${dtype} ${shown(shape)}, got ${shown(offsets)}`,
    );
  return { name, dtype: dtype as Dtype, shape, start: dataStart + start, end: dataStart + end };
}

/** Checks that the tensors fill the file from the header to its end, without gap or overlap. */
function checkLayout(source: ByteSource, dataStart: number, tensors: readonly TensorInfo[]): void {
  let end = dataStart;
  let before = "the header";
  for (const tensor of tensors) {
    const where = `${source.name}: tensor ${shown(tensor.name)}`;
    if (tensor.start !== end)
      throw new CheckpointError(`${where}: must start at byte ${end}, where ${before} ends, got ${tensor.start}`);
    if (tensor.end > source.byteLength)
      throw new CheckpointError(
        `${where}: must end within the file's ${source.byteLength} bytes, got an end at ${tensor.end}`,
      );
    end = tensor.end;
    before = `tensor ${shown(tensor.name)}`;
  }
  if (end !== source.byteLength)
    throw new CheckpointError(`${source.name}: file must be ${end} bytes long by its header, got ${source.byteLength}`);
}

/**
 * Reads and checks the header of a safetensors file; only the header's bytes are read.
 * @throws CheckpointError in one line naming file, tensor, what is expected and what was found
 * @see https://github.com/huggingface/safetensors#format
 */
export async function readHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const dataStart = await headerEnd(source);
  const { __metadata__: metadata = {}, ...entries } = parseObject(
    `${source.name}: header`,
    await source.read(8, dataStart),
    TENSOR_MARKS,
  );
  if (!isObject(metadata) || !Object.values(metadata).every((value) => typeof value === "string"))
    throw new CheckpointError(`${source.name}: __metadata__ must be an object of texts, got ${found(metadata)}`);
  const tensors = Object.keys(entries)
    .map((name) => checkTensor(`${source.name}: tensor ${shown(name)}`, name, entries[name], dataStart))
    .sort((a, b) => a.start - b.start || a.end - b.end);
  checkLayout(source, dataStart, tensors);
  return {
    tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])),
    metadata: metadata as Record<string, string>,
  };
}

/** A file in the index's own folder: no separator, nothing invisible. */
const SHARD_NAME = /^[^/\\:\p{C}]+\.safetensors$/u;

/**
 * Reads a `model.safetensors.index.json`: which file (in the same folder) holds each tensor.
 * @throws CheckpointError
 */
export async function readIndex(source: ByteSource): Promise<Map<string, string>> {
  if (source.byteLength > MAX_HEADER_BYTES)
    throw new CheckpointError(
      `${source.name}: index must be at most ${MAX_HEADER_BYTES} bytes long, got ${source.byteLength}`,
    );
  const { weight_map: map } = parseObject(
    `${source.name}: index`,
    await source.read(0, source.byteLength),
    INDEX_MARKS,
  );
  if (!isObject(map))
    throw new CheckpointError(`${source.name}: weight_map must be an object of tensor and file, got ${found(map)}`);
  const files = Object.entries(map);
  if (files.length === 0) throw new CheckpointError(`${source.name}: weight_map must name some tensors, got none`);
  for (const [tensor, file] of files)
    if (typeof file !== "string" || !SHARD_NAME.test(file))
      throw new CheckpointError(
        `${source.name}: tensor ${shown(tensor)}: file must be a plain name ending in .safetensors, got ${found(file)}`,
      );
  return new Map(files as [string, string][]);
}
