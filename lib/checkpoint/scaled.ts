import { CheckpointError, shown } from "../errors.ts";
import type { Checkpoint, Rows, Span } from "./checkpoint.ts";
import { type Convert, DTYPE_BITS, type Dtype, TO_FLOAT32 } from "./dtype.ts";
import { type Kernels, kernels } from "./kernels.ts";

/** How numbers of few bits are stored, and which tensor holds the factors of their blocks. */
export interface Scaling {
  format: "mxfp4" | "fp8";
  scales: string;
}

/** Of the rows only every `of`-th, from `first` on. */
export interface Every {
  first: number;
  of: number;
}

type Converts<A> = { readonly [dtype in Dtype]?: Convert<A> };

/** Numbers of MXFP4 that share a factor, in the 16 bytes of the last axis. */
const GROUP = 32;

/** Rows, and columns, of the square of FP8 numbers that share a factor. */
const SQUARE = 128;

/** The factor of each byte: a power of two, and NaN for the last. */
const E8M0 = Float32Array.from({ length: 256 }, (_, byte) => (byte === 255 ? Number.NaN : 2 ** (byte - 127)));

/** One sign, four exponent bits (bias 7) and three fraction bits; no infinity, and NaN where all seven are set. */
const E4M3 = Float32Array.from({ length: 256 }, (_, byte) => {
  const [sign, exponent, fraction] = [byte < 128 ? 1 : -1, (byte >> 3) & 15, byte & 7];
  if ((byte & 127) === 127) return Number.NaN;
  return sign * (exponent === 0 ? fraction * 2 ** -9 : (8 + fraction) * 2 ** (exponent - 10));
});

/**
 * Checks that a tensor and the factors of its blocks fit each other.
 * MXFP4: U8 [..., groups, 16] and U8 or F8_E8M0 [..., groups]; FP8: F8_E4M3 [out, in] and [⌈out/128⌉, ⌈in/128⌉].
 * @throws CheckpointError naming both
 */
export function checkScaling(checkpoint: Checkpoint, tensor: string, { format, scales }: Scaling): void {
  const stored = checkpoint.tensor(tensor);
  const factors = checkpoint.tensor(scales);
  const where = `${stored.source.name}: tensor ${shown(tensor)}`;
  const dtype = format === "mxfp4" ? "U8" : "F8_E4M3";
  if (stored.dtype !== dtype)
    throw new CheckpointError(`${where}: dtype must be ${dtype}, for ${scales} scales it, got ${stored.dtype}`);
  const fits = format === "mxfp4" ? stored.shape.at(-1) === GROUP / 2 : stored.shape.length === 2;
  if (!fits)
    throw new CheckpointError(
      `${where}: shape must be ${format === "mxfp4" ? "[..., groups, 16]" : "[out, in]"}, got ${shown(stored.shape)}`,
    );
  const expected =
    format === "mxfp4" ? stored.shape.slice(0, -1) : stored.shape.map((size) => Math.ceil(size / SQUARE));
  if (factors.shape.join() !== expected.join())
    throw new CheckpointError(
      `${factors.source.name}: tensor ${shown(scales)}: shape must be ${shown(expected)}, one for each block of ${tensor}, got ${shown(factors.shape)}`,
    );
}

/**
 * Reads MXFP4, exactly.
 * @param rows of the numbers, not the blocks: [experts, out, groups, 16] has experts · out rows of groups · 32
 * @param every decodes only some of these rows
 * @returns the values, row-major
 * @throws CheckpointError as {@link checkScaling} and `Checkpoint.read`
 * @see Rouhani et al. 2023, arXiv:2310.10537, section 5
 */
export async function readMxfp4(
  checkpoint: Checkpoint,
  tensor: string,
  scales: string,
  rows?: Rows,
  every: Every = { first: 0, of: 1 },
): Promise<Float32Array> {
  checkScaling(checkpoint, tensor, { format: "mxfp4", scales });
  const groups = checkpoint.tensor(tensor).shape.at(-2)!;
  const bytes: Converts<Uint8Array> = { U8: copy, F8_E8M0: copy };
  const factors = await checkpoint.read(scales, rows, bytes, (length) => new Uint8Array(length));
  const blocks: Rows | undefined = rows === undefined ? undefined : [rows[0] * groups, rows[1] * groups];
  const kept = Math.ceil((factors.length / groups - every.first) / every.of);
  const values = (): Float32Array => new Float32Array(kept * groups * GROUP);
  return checkpoint.read(tensor, blocks, { U8: fromMxfp4(factors, groups, every) }, values);
}

function copy(bytes: Uint8Array, out: Uint8Array, at: number): void {
  out.set(bytes, at);
}

/** Groups that are widened at once: the processor's cache holds them and what they become. */
const PIECE_GROUPS = 1 << 12;

const BYTES_OF_GROUP = GROUP / 2;

/** Where a piece's bytes, its factors and what they become lie in the memory of its own. */
const [PIECE_FACTORS, PIECE_OUT] = [BYTES_OF_GROUP * PIECE_GROUPS, (BYTES_OF_GROUP + 4) * PIECE_GROUPS];

let bench: Kernels | null = null;

/** The low half of a byte is the even one of two numbers. */
function fromMxfp4(factors: Uint8Array, groups: number, { first, of }: Every): Convert<Float32Array> {
  return (bytes, out, at) => {
    const start = at / BYTES_OF_GROUP;
    const end = start + bytes.length / BYTES_OF_GROUP;
    const widen = (from: number, to: number, outAt: number): void => {
      const own = bytes.subarray((from - start) * BYTES_OF_GROUP, (to - start) * BYTES_OF_GROUP);
      widenGroups(own, factors.subarray(from, to), out, outAt * GROUP);
    };
    if (of === 1) {
      widen(start, end, start);
      return;
    }
    for (let row = Math.floor(start / groups); row * groups < end; row++) {
      if (row % of !== first) continue;
      const from = Math.max(start, row * groups);
      widen(from, Math.min(end, (row + 1) * groups), Math.floor(row / of) * groups + (from % groups));
    }
  };
}

function widenGroups(bytes: Uint8Array, factors: Uint8Array, out: Float32Array, at: number): void {
  bench ??= kernels(PIECE_OUT + 4 * GROUP * PIECE_GROUPS);
  const { buffer } = bench.memory;
  for (let from = 0; from < factors.length; from += PIECE_GROUPS) {
    const own = factors.subarray(from, from + PIECE_GROUPS);
    new Uint8Array(buffer).set(bytes.subarray(from * BYTES_OF_GROUP, (from + own.length) * BYTES_OF_GROUP));
    const scales = new Float32Array(buffer, PIECE_FACTORS, own.length);
    for (let g = 0; g < own.length; g++) scales[g] = E8M0[own[g]!]!;
    bench.widenMxfp4(PIECE_OUT, 0, PIECE_FACTORS, own.length);
    out.set(new Float32Array(buffer, PIECE_OUT, own.length * GROUP), at + from * GROUP);
  }
}

/**
 * Reads FP8, each value times its square's factor, rounded once.
 * @returns the values, row-major: [out, in]
 * @throws CheckpointError as {@link checkScaling} and `Checkpoint.read`
 * @see Micikevicius et al. 2022, arXiv:2209.05433, table 1 (E4M3)
 */
export async function readFp8(checkpoint: Checkpoint, tensor: string, scales: string): Promise<Float32Array> {
  checkScaling(checkpoint, tensor, { format: "fp8", scales });
  const width = checkpoint.tensor(tensor).shape[1]!;
  const factors = await checkpoint.readFloat32(scales);
  const convert = fromFp8(factors, width);
  return checkpoint.read(tensor, undefined, { F8_E4M3: convert }, (length) => new Float32Array(length));
}

/** `width`: numbers of a row. */
function fromFp8(factors: Float32Array, width: number): Convert<Float32Array> {
  const across = Math.ceil(width / SQUARE);
  return (bytes, out, at) => {
    for (let i = at; i < at + bytes.length; ) {
      const [row, column] = [Math.floor(i / width), i % width];
      const factor = factors[Math.floor(row / SQUARE) * across + Math.floor(column / SQUARE)]!;
      const sameFactor = Math.min(SQUARE - (column % SQUARE), width - column, at + bytes.length - i);
      for (const end = i + sameFactor; i < end; i++) out[i] = E4M3[bytes[i - at]!]! * factor;
    }
  };
}

/** Where numbers of few bits and their factors lie, and how the bytes of both become numbers, row-major. */
export interface ScaledSpans {
  factors: Span;
  numbers: Span;
  decode(factors: Uint8Array, numbers: Uint8Array): Float32Array;
}

/**
 * For readers that get the bytes by themselves, what {@link readMxfp4} and {@link readFp8} read.
 * @throws CheckpointError as {@link checkScaling}
 */
export function scaledSpans(
  checkpoint: Checkpoint,
  tensor: string,
  scaling: Scaling,
  rows?: Rows,
  every: Every = { first: 0, of: 1 },
): ScaledSpans {
  checkScaling(checkpoint, tensor, scaling);
  const { shape } = checkpoint.tensor(tensor);
  if (scaling.format === "fp8") {
    const factors = checkpoint.span(scaling.scales);
    const numbers = checkpoint.span(tensor);
    const decode: ScaledSpans["decode"] = (factorBytes, bytes) => {
      const scales = new Float32Array(factorBytes.length / (DTYPE_BITS[factors.dtype] / 8));
      TO_FLOAT32[factors.dtype]!(factorBytes, scales, 0, factors.where);
      const values = new Float32Array(bytes.length);
      fromFp8(scales, shape[1]!)(bytes, values, 0, numbers.where);
      return values;
    };
    return { factors, numbers, decode };
  }
  const groups = shape.at(-2)!;
  const blocks: Rows | undefined = rows === undefined ? undefined : [rows[0] * groups, rows[1] * groups];
  const numbers = checkpoint.span(tensor, blocks);
  const decode: ScaledSpans["decode"] = (factors, bytes) => {
    const kept = Math.ceil((factors.length / groups - every.first) / every.of);
    const values = new Float32Array(kept * groups * GROUP);
    fromMxfp4(factors, groups, every)(bytes, values, 0, numbers.where);
    return values;
  };
  return { factors: checkpoint.span(scaling.scales, rows), numbers, decode };
}
