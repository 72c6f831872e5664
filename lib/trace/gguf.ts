import { CheckpointError, shown } from "../errors.ts";
import { type NdArray, ndArray } from "./ndarray.ts";

/** The values of a GGUF file's metadata. */
type GgufValue = number | bigint | boolean | string | GgufValue[];

export interface GgufFile {
  metadata: ReadonlyMap<string, GgufValue>;
  /** The names of all tensors. */
  names: string[];
  /**
   * A float32 tensor by name, outermost axis first as in NumPy, or null where there is none of that name.
   * @throws CheckpointError for a tensor of another type, or that is not within the file
   */
  tensor(name: string): NdArray | null;
}

/** Where a tensor is, from the start of the data. */
interface Placed {
  type: number;
  shape: number[];
  offset: number;
}

const MAGIC = 0x46554747; // "GGUF"
const F32 = 0;
const [BOOL, STRING, ARRAY] = [7, 8, 9];
const MAX_RANK = 4;

/** @returns whether bytes begin as a GGUF file does */
export function isGguf(bytes: Uint8Array): boolean {
  return bytes.length >= 8 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === MAGIC;
}

/**
 * Reads a GGUF file's metadata and where its tensors lie.
 * @throws CheckpointError for a file that is damaged, big-endian or of another version
 * @see https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
 */
export function readGguf(where: string, bytes: Uint8Array): GgufFile {
  const refuse = (what: string, expected: string, got: unknown): never => {
    throw new CheckpointError(`${where}: ${what} must be ${expected}, got ${shown(got)}`);
  };
  if (!isGguf(bytes)) return refuse("file", "a GGUF file", `${bytes.length} bytes that begin otherwise`);
  const read = new Cursor(where, bytes, 4);
  const version = read.number(4); // u32
  if (version !== 2 && version !== 3) refuse("GGUF version", "2 or 3, little-endian", version);
  const nTensors = read.size();
  const nValues = read.size();

  const metadata = new Map<string, GgufValue>();
  for (let i = 0; i < nValues; i++) {
    const key = read.string();
    if (metadata.has(key)) refuse("metadata", "there once for each key", key);
    metadata.set(key, read.value(read.number(4)));
  }
  const tensors = new Map<string, Placed>();
  for (let i = 0; i < nTensors; i++) {
    const name = read.string();
    const rank = read.number(4);
    if (rank > MAX_RANK) refuse(`${shown(name)}: rank`, `at most ${MAX_RANK}`, rank);
    if (tensors.has(name)) refuse("tensors", "there once for each name", name);
    const shape = Array.from({ length: rank }, () => read.size()).toReversed();
    tensors.set(name, { shape, type: read.number(4), offset: read.size() });
  }
  const alignment = metadata.get("general.alignment") ?? 32;
  if (typeof alignment !== "number" || alignment < 8 || alignment % 8 !== 0)
    return refuse("general.alignment", "a multiple of 8", String(alignment));
  const dataStart = Math.ceil(read.at / alignment) * alignment;
  const placeOf = (name: string, { shape, offset }: Placed): [start: number, end: number] => {
    const start = dataStart + offset;
    const end = start + 4 * shape.reduce((product, n) => product * n, 1);
    if (end > bytes.length) refuse(shown(name), `within the file's ${bytes.length} bytes`, end);
    return [start, end];
  };
  // A file that was cut is refused even where what is missing would not be asked for.
  for (const [name, tensor] of tensors) if (tensor.type === F32) placeOf(name, tensor);
  return {
    metadata,
    names: [...tensors.keys()],
    tensor(name) {
      const tensor = tensors.get(name);
      if (tensor === undefined) return null;
      const { type, shape } = tensor;
      if (type !== F32) refuse(`${shown(name)}: type`, `float32 (${F32})`, type);
      return ndArray(`${where}: ${shown(name)}`, "F32", shape, bytes.subarray(...placeOf(name, tensor)));
    },
  };
}

/** Numbers by the type codes of the format. */
const NUMBERS: Readonly<Record<number, { width: number; get: (view: DataView, at: number) => number | bigint }>> = {
  0: { width: 1, get: (view, at) => view.getUint8(at) },
  1: { width: 1, get: (view, at) => view.getInt8(at) },
  2: { width: 2, get: (view, at) => view.getUint16(at, true) },
  3: { width: 2, get: (view, at) => view.getInt16(at, true) },
  4: { width: 4, get: (view, at) => view.getUint32(at, true) },
  5: { width: 4, get: (view, at) => view.getInt32(at, true) },
  6: { width: 4, get: (view, at) => view.getFloat32(at, true) },
  7: { width: 1, get: (view, at) => view.getUint8(at) },
  10: { width: 8, get: (view, at) => view.getBigUint64(at, true) },
  11: { width: 8, get: (view, at) => view.getBigInt64(at, true) },
  12: { width: 8, get: (view, at) => view.getFloat64(at, true) },
};

/** Reads a file from its beginning on, never past its end. */
class Cursor {
  readonly #where: string;
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  at: number;

  constructor(where: string, bytes: Uint8Array, at: number) {
    this.#where = where;
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.at = at;
  }

  /** @returns where the bytes that are passed over begin */
  #pass(length: number): number {
    const start = this.at;
    if (start + length > this.#bytes.length)
      throw new CheckpointError(
        `${this.#where}: header must end within the file's ${this.#bytes.length} bytes, got more (is the file whole?)`,
      );
    this.at = start + length;
    return start;
  }

  /** A number by its type code. */
  number(type: number): number {
    return Number(this.#scalar(type));
  }

  #scalar(type: number): number | bigint {
    const reader = NUMBERS[type];
    if (reader === undefined)
      throw new CheckpointError(`${this.#where}: type of a value must be one of the format's, got ${type}`);
    return reader.get(this.#view, this.#pass(reader.width));
  }

  /** A number of things or bytes, of 64 bits. */
  size(): number {
    const size = this.number(10);
    if (!Number.isSafeInteger(size))
      throw new CheckpointError(`${this.#where}: a size must be within the file, got ${size}`);
    return size;
  }

  string(): string {
    const length = this.size();
    const start = this.#pass(length);
    return new TextDecoder().decode(this.#bytes.subarray(start, start + length));
  }

  value(type: number): GgufValue {
    if (type === STRING) return this.string();
    if (type !== ARRAY) return type === BOOL ? this.number(type) !== 0 : this.#scalar(type);
    const itemType = this.number(4);
    const length = this.size();
    if (itemType === ARRAY) throw new CheckpointError(`${this.#where}: arrays of arrays must not be there, got one`);
    const items: GgufValue[] = [];
    for (let i = 0; i < length; i++) items.push(this.value(itemType));
    return items;
  }
}
