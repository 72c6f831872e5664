import type { Dtype } from "../checkpoint/dtype.ts";
import { CheckpointError, shown } from "../errors.ts";
import { type NdArray, ndArray } from "./ndarray.ts";

/** What a type's letter and width in bytes stand for. */
const DTYPES: Readonly<Record<string, Dtype>> = {
  b1: "BOOL",
  i1: "I8",
  i2: "I16",
  i4: "I32",
  i8: "I64",
  u1: "U8",
  u2: "U16",
  u4: "U32",
  u8: "U64",
  f2: "F16",
  f4: "F32",
  f8: "F64",
};

/** NumPy writes 118 bytes or little more for arrays of plain numbers. */
const MAX_HEADER_BYTES = 4096;

/** @returns whether bytes begin as a .npy file does */
export function isNpy(bytes: Uint8Array): boolean {
  return bytes.length >= 10 && bytes[0] === 0x93 && String.fromCharCode(...bytes.subarray(1, 6)) === "NUMPY";
}

/**
 * Reads a NumPy array file.
 * @throws CheckpointError for a file that is damaged, big-endian, in Fortran order or of something else than numbers
 * @see https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
 */
export function readNpy(where: string, bytes: Uint8Array): NdArray {
  const refuse = (what: string, expected: string, got: unknown): never => {
    throw new CheckpointError(`${where}: ${what} must be ${expected}, got ${shown(got)}`);
  };
  if (!isNpy(bytes)) return refuse("file", "a .npy file", `${bytes.length} bytes that begin otherwise`);
  const version = bytes[6]!;
  if (version < 1 || version > 3) refuse(".npy version", "1, 2 or 3", version);
  const start = version === 1 ? 10 : 12;
  if (bytes.length < start) refuse("file", `at least ${start} bytes long`, bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const length = version === 1 ? view.getUint16(8, true) : view.getUint32(8, true);
  if (length > MAX_HEADER_BYTES) refuse("header", `at most ${MAX_HEADER_BYTES} bytes long`, length);
  if (start + length > bytes.length) refuse("header", `within the file's ${bytes.length} bytes`, start + length);
  const header = new TextDecoder("latin1").decode(bytes.subarray(start, start + length)).trim();
  const form = /^\{\s*'descr':\s*'([^']*)',\s*'fortran_order':\s*(True|False),\s*'shape':\s*\(([\d\s,]*)\)\s*,?\s*\}$/;
  const [, descr, fortranOrder, sizes] = form.exec(header) ?? refuse("header", "descr, fortran_order, shape", header);
  const dtype = DTYPES[descr!.replace(/^[<|]/, "")] ?? refuse("descr", "little-endian numbers", descr);
  if (fortranOrder === "True") refuse("fortran_order", "False (numpy.ascontiguousarray makes it so)", fortranOrder);
  const shape = (sizes!.match(/\d+/g) ?? []).map(Number);
  return ndArray(where, dtype, shape, bytes.subarray(start + length));
}
