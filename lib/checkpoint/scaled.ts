import { CheckpointError, shown } from "../errors.ts";
import type { Checkpoint, Rows, Span } from "./checkpoint.ts";
import { type Convert, type Converts, converterOf, DTYPE_BITS, TO_FLOAT32, type WriteRows } from "./dtype.ts";
import { PIECE_NUMBERS, widenTo } from "./kernels.ts";

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

/** The types that a tensor of MXFP4's factors may have; its bytes are taken as they are. */
const E8M0_BYTES: Converts<Uint8Array> = { U8: copy, F8_E8M0: copy };

/** Numbers of MXFP4 that share a factor, in the 16 bytes of the last axis. */
const GROUP = 32;

/** Rows, and columns, of the square of FP8 numbers that share a factor. */
const SQUARE = 128;

/** The factor of each byte of MXFP4's: a power of two, and NaN for the last. */
const E8M0 = Float32Array.from({ length: 256 }, (_, byte) => (byte === 255 ? Number.NaN : 2 ** (byte - 127)));

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
  const span = checkpoint.span(scales);
  if (format === "mxfp4") converterOf(E8M0_BYTES, span);
  else converterOf(TO_FLOAT32, span);
  if (factors.shape.join() !== expected.join())
    throw new CheckpointError(
      `${span.where}: shape must be ${shown(expected)}, one for each block of ${tensor}, got ${shown(factors.shape)}`,
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
  const factors = await checkpoint.read(scales, rows, E8M0_BYTES, (length) => new Uint8Array(length));
  const blocks: Rows | undefined = rows === undefined ? undefined : [rows[0] * groups, rows[1] * groups];
  const kept = Math.ceil((factors.length / groups - every.first) / every.of);
  const values = (): Float32Array => new Float32Array(kept * groups * GROUP);
  return checkpoint.read(tensor, blocks, { U8: fromMxfp4(factors, groups, every) }, values);
}

function copy(bytes: Uint8Array, out: Uint8Array, at: number): void {
  out.set(bytes, at);
}

const BYTES_OF_GROUP = GROUP / 2;

/** What is widened at once is whole groups. Their factors come first in the memory, then their bytes. */
const PIECE_GROUPS = PIECE_NUMBERS / GROUP;
const [FACTORS, BYTES] = [0, 4 * PIECE_GROUPS];

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
  for (let from = 0; from < factors.length; from += PIECE_GROUPS) {
    const own = factors.subarray(from, from + PIECE_GROUPS);
    widenTo(out, at + from * GROUP, own.length * GROUP, ({ memory, widenMxfp4 }, address) => {
      const scales = new Float32Array(memory.buffer, FACTORS, own.length);
      for (let g = 0; g < own.length; g++) scales[g] = E8M0[own[g]!]!;
      const end = (from + own.length) * BYTES_OF_GROUP;
      new Uint8Array(memory.buffer, BYTES).set(bytes.subarray(from * BYTES_OF_GROUP, end));
      widenMxfp4(address, BYTES, FACTORS, own.length);
    });
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
  const convert: Convert<Float32Array> = (bytes, out, at) =>
    widenSquares(bytes, factors, { width, first: at }, out, at);
  return checkpoint.read(tensor, undefined, { F8_E4M3: convert }, (length) => new Float32Array(length));
}

/** Where numbers come from: how many a row has, and which of all is the first. */
interface From {
  width: number;
  first: number;
}

function widenSquares(bytes: Uint8Array, factors: Float32Array, { width, first }: From, out: Float32Array, at: number) {
  const across = Math.ceil(width / SQUARE);
  for (let from = 0; from < bytes.length; from += PIECE_NUMBERS) {
    const own = bytes.subarray(from, from + PIECE_NUMBERS);
    widenTo(out, at + from, own.length, ({ memory, widenFp8 }, address) => {
      new Uint8Array(memory.buffer, BYTES).set(own);
      const factor = new Float32Array(memory.buffer, FACTORS, 1);
      for (let i = 0, same = 0; i < own.length; i += same) {
        const [row, column] = [Math.floor((first + from + i) / width), (first + from + i) % width];
        factor[0] = factors[Math.floor(row / SQUARE) * across + Math.floor(column / SQUARE)]!;
        same = Math.min(SQUARE - (column % SQUARE), width - column, own.length - i);
        widenFp8(address + 4 * i, BYTES + i, FACTORS, same);
      }
    });
  }
}

/** Where numbers of few bits and their factors lie, and how the bytes of both become rows of numbers. */
export interface ScaledSpans {
  factors: Span;
  numbers: Span;
  decode(factors: Uint8Array, numbers: Uint8Array): WriteRows;
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
    const width = shape[1]!;
    const decode: ScaledSpans["decode"] = (factorBytes, bytes) => {
      const scales = new Float32Array(factorBytes.length / (DTYPE_BITS[factors.dtype] / 8));
      converterOf(TO_FLOAT32, factors)(factorBytes, scales, 0, factors.where);
      return (row, count, out, at) => {
        const first = row * width;
        widenSquares(bytes.subarray(first, first + count * width), scales, { width, first }, out, at);
      };
    };
    return { factors, numbers: checkpoint.span(tensor), decode };
  }
  const groups = shape.at(-2)!;
  const blocks: Rows | undefined = rows === undefined ? undefined : [rows[0] * groups, rows[1] * groups];
  const decode: ScaledSpans["decode"] = (factors, bytes) => (first, count, out, at) => {
    const together = every.of === 1 ? count : 1;
    for (let row = first; row < first + count; row += together) {
      const [from, to] = [row, row + together].map((r) => (r * every.of + every.first) * groups) as [number, number];
      const end = every.of === 1 ? to : from + groups;
      const own = bytes.subarray(from * BYTES_OF_GROUP, end * BYTES_OF_GROUP);
      widenGroups(own, factors.subarray(from, end), out, at + (row - first) * groups * GROUP);
    }
  };
  return { factors: checkpoint.span(scaling.scales, rows), numbers: checkpoint.span(tensor, blocks), decode };
}
