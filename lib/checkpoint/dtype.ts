import { CheckpointError } from "../errors.ts";
import { PIECE_BYTES, widenTo } from "./kernels.ts";

/** Every element type of the safetensors format and its width in bits. */
export const DTYPE_BITS = {
  BOOL: 8,
  F4: 4,
  F6_E2M3: 6,
  F6_E3M2: 6,
  U8: 8,
  I8: 8,
  F8_E5M2: 8,
  F8_E4M3: 8,
  F8_E8M0: 8,
  F8_E4M3FNUZ: 8,
  F8_E5M2FNUZ: 8,
  I16: 16,
  U16: 16,
  F16: 16,
  BF16: 16,
  I32: 32,
  U32: 32,
  F32: 32,
  C64: 64,
  F64: 64,
  I64: 64,
  U64: 64,
} as const;

export type Dtype = keyof typeof DTYPE_BITS;

/** Writes the values of `bytes` (little-endian, as the host's) to `out` from index `at` on. `where` begins an error. */
export type Convert<A> = (bytes: Uint8Array, out: A, at: number, where: string) => void;

/** Converters by the type that they read. */
export type Converts<A> = { readonly [dtype in Dtype]?: Convert<A> };

/** @throws CheckpointError for a type that none of them reads */
export function converterOf<A>(converts: Converts<A>, { dtype, where }: { dtype: Dtype; where: string }): Convert<A> {
  const convert = converts[dtype];
  if (convert !== undefined) return convert;
  throw new CheckpointError(`${where}: dtype must be one of ${Object.keys(converts).join(", ")}, got ${dtype}`);
}

/** Writes rows of a matrix that a file holds, as numbers, to `out` from index `at` on. */
export type WriteRows = (first: number, count: number, out: Float32Array, at: number) => void;

/** The bytes at an address that a typed array of this width may start at; copied only where they are not. */
function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : new Uint8Array(bytes);
}

function fromF32(bytes: Uint8Array, out: Float32Array, at: number): void {
  new Uint8Array(out.buffer, out.byteOffset + 4 * at, bytes.length).set(bytes);
}

/** bfloat16 is the upper half of a float32. */
function fromBF16(bytes: Uint8Array, out: Float32Array, at: number): void {
  for (let start = 0; start < bytes.length; start += PIECE_BYTES) {
    const piece = bytes.subarray(start, start + PIECE_BYTES);
    const count = piece.length / 2;
    widenTo(out, at + start / 2, count, (own, address) => {
      new Uint8Array(own.memory.buffer).set(piece);
      own.widen(address, 0, count);
    });
  }
}

/** The float32 bits of one float16: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
function float32BitsOfHalf(half: number): number {
  const sign = (half & 0x8000) << 16;
  const exponent = (half >> 10) & 31;
  const fraction = half & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (fraction << 13); // infinity, NaN
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (fraction << 13);
  if (fraction === 0) return sign;
  const shift = Math.clz32(fraction) - 21; // subnormal: fraction · 2⁻²⁴ has a normal float32
  return sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13);
}

const HALVES = Int32Array.from({ length: 1 << 16 }, (_, half) => float32BitsOfHalf(half));

function fromF16(bytes: Uint8Array, out: Float32Array, at: number): void {
  const { buffer, byteOffset } = aligned(bytes, 2);
  const halves = new Uint16Array(buffer, byteOffset, bytes.length >> 1);
  const bits = new Int32Array(out.buffer, out.byteOffset + 4 * at, halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = HALVES[halves[i]!]!;
}

/** The types that are read as float32, all exactly. */
export const TO_FLOAT32: Converts<Float32Array> = {
  F32: fromF32,
  BF16: fromBF16,
  F16: fromF16,
};

type IntegerView = Iterable<number> | Iterable<bigint>;

function fromIntegers(width: number, view: (buffer: ArrayBufferLike, offset: number, count: number) => IntegerView) {
  return (bytes: Uint8Array, out: Int32Array, at: number, where: string): void => {
    const { buffer, byteOffset } = aligned(bytes, width);
    let i = at;
    for (const value of view(buffer, byteOffset, bytes.length / width)) {
      const number = Number(value);
      if (number !== (number | 0)) throw new CheckpointError(`${where}: values must fit in 32 bits, got ${value}`);
      out[i++] = number;
    }
  };
}

/** The types that are read as int32; a value that does not fit is an error. */
export const TO_INT32: Converts<Int32Array> = {
  BOOL: fromIntegers(1, (...at) => new Uint8Array(...at)),
  U8: fromIntegers(1, (...at) => new Uint8Array(...at)),
  I8: fromIntegers(1, (...at) => new Int8Array(...at)),
  U16: fromIntegers(2, (...at) => new Uint16Array(...at)),
  I16: fromIntegers(2, (...at) => new Int16Array(...at)),
  U32: fromIntegers(4, (...at) => new Uint32Array(...at)),
  I32: fromIntegers(4, (...at) => new Int32Array(...at)),
  U64: fromIntegers(8, (...at) => new BigUint64Array(...at)),
  I64: fromIntegers(8, (...at) => new BigInt64Array(...at)),
};

/**
 * Rounds float32 to bfloat16, to nearest and ties to even; what is past the largest bfloat16 becomes infinity and
 * every NaN stays one.
 */
export function toBF16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i]!;
    const isNaN = (b & 0x7fffffff) > 0x7f800000;
    halves[i] = isNaN ? (b >>> 16) | 0x40 : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
  return halves;
}
