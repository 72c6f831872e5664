import { CheckpointError, listed, shown } from "../errors.ts";
import type { ByteSource } from "./bytes.ts";
import { type Converts, converterOf, DTYPE_BITS, type Dtype, TO_FLOAT32, TO_INT32 } from "./dtype.ts";
import { readHeader, type TensorInfo } from "./safetensors.ts";

/** A tensor and the file that holds it. */
export interface StoredTensor extends TensorInfo {
  source: ByteSource;
}

export interface CheckpointInfo {
  files: number;
  tensors: number;
  /** Size of all files on disk, headers included. */
  bytes: number;
  /** How many tensors have each element type. */
  dtypes: { [dtype in Dtype]?: number };
}

/** A range of rows, from `start` up to, not including, `end`. All axes but the last count as one: [8, 3, 5] has 24 rows. */
export type Rows = readonly [start: number, end: number];

/** Bytes of a file that hold numbers of one type. */
export interface Span {
  source: ByteSource;
  dtype: Dtype;
  start: number;
  end: number;
  /** File and tensor, for messages. */
  where: string;
}

/** Bytes asked for at once: enough to stream, small beside any tensor that matters. A whole number of any element. */
const CHUNK_BYTES = 1 << 22;

/** Handles each chunk while the next one is on its way. */
async function streamBytes(
  source: ByteSource,
  start: number,
  end: number,
  handle: (bytes: Uint8Array, at: number) => void,
): Promise<void> {
  const read = (at: number): Promise<Uint8Array> => source.read(at, Math.min(at + CHUNK_BYTES, end));
  let next = start < end ? read(start) : null;
  for (let at = start; next !== null; at += CHUNK_BYTES) {
    const bytes = await next;
    next = at + CHUNK_BYTES < end ? read(at + CHUNK_BYTES) : null;
    next?.catch(() => {}); // met at the await above, unless handle throws first
    handle(bytes, at - start);
  }
}

/** How much two dotted names agree, from their beginning and from their end. */
function agreement(a: string, b: string): number {
  const shorter = Math.min(a.length, b.length);
  let head = 0;
  while (head < shorter && a[head] === b[head]) head++;
  let tail = 0;
  while (tail < shorter - head && a.at(-1 - tail) === b.at(-1 - tail)) tail++;
  return head + tail;
}

/** The tensors of one or many safetensors files, read a tensor or a range of its rows at a time. */
export class Checkpoint {
  /** The folder or file, for messages. */
  readonly name: string;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Free texts in the files' headers; where two files differ, the later one's. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly info: CheckpointInfo;
  readonly #sources: readonly ByteSource[];

  constructor(
    name: string,
    tensors: ReadonlyMap<string, StoredTensor>,
    metadata: Readonly<Record<string, string>>,
    sources: readonly ByteSource[],
  ) {
    this.name = name;
    this.tensors = tensors;
    this.metadata = metadata;
    this.#sources = sources;
    const dtypes: CheckpointInfo["dtypes"] = {};
    for (const { dtype } of tensors.values()) dtypes[dtype] = (dtypes[dtype] ?? 0) + 1;
    const bytes = sources.reduce((sum, source) => sum + source.byteLength, 0);
    this.info = { files: sources.length, tensors: tensors.size, bytes, dtypes };
  }

  /** @throws CheckpointError for a name that no file has, with the names nearest to it */
  tensor(name: string): StoredTensor {
    const tensor = this.tensors.get(name);
    if (tensor !== undefined) return tensor;
    const near = [...this.tensors.keys()]
      .map((other) => ({ other, score: agreement(name, other) }))
      .sort((a, b) => b.score - a.score)
      .slice(0, 3)
      .map(({ other }) => shown(other));
    const nearest = near.length > 0 ? `the nearest of ${this.tensors.size} are ${listed(near)}` : "it has none at all";
    throw new CheckpointError(`${this.name}: no tensor is called ${shown(name)}; ${nearest}`);
  }

  /**
   * Reads an F32, BF16 or F16 tensor, exactly.
   * @param rows the rows to read (expert e of [16*d_ff, d_model] or [16, d_ff, d_model] is [e * dFf, (e + 1) * dFf]); the
   * whole tensor when left out
   * @returns the values, row-major: [rows, ...rest of the shape]
   * @throws CheckpointError for an unknown name, another type or a file that can't be read; RangeError for such rows
   */
  readFloat32(name: string, rows?: Rows): Promise<Float32Array> {
    return this.read(name, rows, TO_FLOAT32, (length) => new Float32Array(length));
  }

  /**
   * Reads a tensor of whole numbers or booleans (I8 to I64, U8 to U64, BOOL).
   * @param rows as in {@link readFloat32}
   * @throws CheckpointError also for a value that 32 bits do not hold
   */
  readInt32(name: string, rows?: Rows): Promise<Int32Array> {
    return this.read(name, rows, TO_INT32, (length) => new Int32Array(length));
  }

  /** Closes the files; nothing can be read afterwards. */
  async close(): Promise<void> {
    await Promise.all(this.#sources.map((source) => source.close()));
  }

  /**
   * Where rows of a tensor lie.
   * @param rows as in {@link readFloat32}
   * @throws CheckpointError for an unknown name, RangeError for such rows
   */
  span(name: string, rows?: Rows): Span {
    const { source, dtype, shape, start, end } = this.tensor(name);
    const where = `${source.name}: tensor ${shown(name)}`;
    if (rows === undefined) return { source, dtype, start, end, where };
    const [first, last] = rows;
    const most = shape.length === 0 ? 0 : shape.slice(0, Math.max(1, shape.length - 1)).reduce((a, b) => a * b);
    if (!Number.isInteger(first) || !Number.isInteger(last) || first < 0 || first > last || last > most)
      throw new RangeError(`${where}: rows must be a range within [0, ${most}], got [${first}, ${last}]`);
    const rowBytes = most > 0 ? (end - start) / most : 0;
    return { source, dtype, start: start + first * rowBytes, end: start + last * rowBytes, where };
  }

  /**
   * Reads a tensor through the converter of its type, chunk by chunk; what other readers stand on.
   * @param rows as in {@link readFloat32}
   * @param allocate makes the result from the number of stored elements that are read
   * @throws CheckpointError for an unknown name, a type without a converter or a file that can't be read; RangeError
   * for such rows
   */
  async read<A>(
    name: string,
    rows: Rows | undefined,
    converts: Converts<A>,
    allocate: (length: number) => A,
  ): Promise<A> {
    const { source, dtype, start, end, where } = this.span(name, rows);
    const convert = converterOf(converts, { dtype, where });
    const width = DTYPE_BITS[dtype] / 8;
    const length = (end - start) / width;
    let out: A;
    try {
      out = allocate(length);
    } catch (cause) {
      throw new CheckpointError(`${where}: ${length} values must be read in parts, for memory cannot hold them`, {
        cause,
      });
    }
    await streamBytes(source, start, end, (bytes, at) => convert(bytes, out, at / width, where));
    return out;
  }
}

/**
 * Reads the headers of a checkpoint's files and joins their tensors; reads no values.
 * @param name the folder or file, for messages
 * @param files the files by their plain names
 * @param index which file holds each tensor, where an index says so: files and index must agree
 * @throws CheckpointError naming file and tensor
 */
export async function openCheckpoint(
  name: string,
  files: ReadonlyMap<string, ByteSource>,
  index?: ReadonlyMap<string, string>,
): Promise<Checkpoint> {
  const tensors = new Map<string, StoredTensor>();
  const metadata: Record<string, string> = {};
  for (const [file, source] of files) {
    const header = await readHeader(source);
    Object.assign(metadata, header.metadata);
    for (const tensor of header.tensors.values()) {
      const where = `${source.name}: tensor ${shown(tensor.name)}`;
      const other = tensors.get(tensor.name);
      if (other !== undefined)
        throw new CheckpointError(`${where}: must be in one file, got it in ${other.source.name} too`);
      const promised = index === undefined ? file : index.get(tensor.name);
      if (promised !== file)
        throw new CheckpointError(
          `${where}: must be in the file that the index names, got ${shown(promised ?? "none")}`,
        );
      tensors.set(tensor.name, { ...tensor, source });
    }
  }
  for (const [tensor, file] of index ?? [])
    if (!tensors.has(tensor))
      throw new CheckpointError(
        `${name}: tensor ${shown(tensor)} must be in ${file} by the index, got a file without it`,
      );
  return new Checkpoint(name, tensors, metadata, [...files.values()]);
}
