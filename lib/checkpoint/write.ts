import { CheckpointError, ShapeError, shown } from "../errors.ts";
import { DTYPE_BITS, toBF16 } from "./dtype.ts";
import { isCount, MAX_HEADER_BYTES } from "./safetensors.ts";

/** A tensor to be written; BF16 is rounded from float32, to nearest and ties to even. */
export type TensorData = {
  name: string;
  shape: readonly number[];
} & ({ dtype: "F32" | "BF16"; data: Float32Array } | { dtype: "I32"; data: Int32Array });

/** Values rounded at once: the copy that rounding needs stays small. */
const CHUNK_VALUES = 1 << 21;

function checkTensors(tensors: readonly TensorData[]): void {
  const seen = new Set<string>();
  for (const { name, dtype, shape, data } of tensors) {
    const where = `safetensors: tensor ${shown(name)}`;
    if (name === "__metadata__") throw new RangeError(`${where}: name must be another, for the format keeps it`);
    if (seen.has(name)) throw new RangeError(`${where}: name must be given once, got it twice`);
    seen.add(name);
    const [expected, actual] = [dtype === "I32" ? "Int32Array" : "Float32Array", data[Symbol.toStringTag]];
    if (actual !== expected) throw new TypeError(`${where}: data must be a ${expected} for ${dtype}, got ${actual}`);
    const holds = shape.every(isCount) && shape.reduce((product, size) => product * size, 1) === data.length;
    if (!holds) throw new ShapeError(`${where}: shape must hold the ${data.length} values given, got ${shown(shape)}`);
  }
}

function encodeHeader(tensors: readonly TensorData[], metadata: Readonly<Record<string, string>>): Uint8Array {
  let end = 0;
  const entries = tensors.map(({ name, dtype, shape, data }): [string, unknown] => {
    const start = end;
    end += (data.length * DTYPE_BITS[dtype]) / 8;
    return [name, { dtype, shape, data_offsets: [start, end] }];
  });
  const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries([["__metadata__", metadata], ...entries])));
  const length = Math.ceil(json.length / 8) * 8; // the values start at a multiple of 8 bytes
  if (length > MAX_HEADER_BYTES)
    throw new CheckpointError(`safetensors: header must be at most ${MAX_HEADER_BYTES} bytes long, got ${length}`);
  const header = new Uint8Array(8 + length).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
  header.set(json, 8);
  return header;
}

function* pieces(header: Uint8Array, tensors: readonly TensorData[]): Generator<Uint8Array> {
  yield header;
  for (const { dtype, data } of tensors)
    if (dtype === "BF16")
      for (let i = 0; i < data.length; i += CHUNK_VALUES)
        yield new Uint8Array(toBF16(data.subarray(i, i + CHUNK_VALUES)).buffer);
    else yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * The bytes of a safetensors file, piece by piece: values are copied only where they are rounded.
 * Wider types come first, so that every value is aligned, as PyTorch's reader requires.
 * @param metadata free texts; never needed to read the tensors
 * @throws ShapeError where shape and data differ, TypeError for data of another type, RangeError for a name that can't
 * be: all before the first piece
 * @example const file = Buffer.concat([...encodeSafetensors([{ name: "x", dtype: "F32", shape: [2], data }])]);
 */
export function encodeSafetensors(
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Iterable<Uint8Array> {
  checkTensors(tensors);
  const sorted = [...tensors].sort((a, b) => DTYPE_BITS[b.dtype] - DTYPE_BITS[a.dtype]);
  return pieces(encodeHeader(sorted, metadata), sorted);
}
