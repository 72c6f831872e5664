import { compile, instantiate, MAX_PAGES, type Memory, newMemory, op, PAGE, type WasmFunction } from "../wasmModule.ts";

/**
 * Writes bfloat16, `count` of them from address `bytes` on, as float32 from address `out` on: a bfloat16 is the upper
 * half of a float32. Works in turns of {@link TURN} numbers, so it reads and writes up to the end of the last turn.
 */
type Widen = (out: number, bytes: number, count: number) => void;

/**
 * Writes float32 [rows, columns] as [columns, rows]; addresses and strides in bytes, rows and columns multiples of 4.
 * In JavaScript: `for (c…) for (r…) out[c * outStride + r] = x[r * xStride + c]`.
 */
type Transpose = (out: number, x: number, rows: number, columns: number, outStride: number, xStride: number) => void;

/**
 * Writes MXFP4 as float32 from address `out` on: `groups` of 16 bytes from address `bytes` on, of two numbers each, low
 * half first, and each group times its float32 from address `factors` on.
 */
type WidenMxfp4 = (out: number, bytes: number, factors: number, groups: number) => void;

/**
 * Writes FP8 (E4M3), `count` of them from address `bytes` on, as float32 from address `out` on, each times the float32 at
 * address `factor`. Works in turns of {@link FP8_TURN} numbers, as {@link Widen} does.
 */
type WidenFp8 = (out: number, bytes: number, factor: number, count: number) => void;

/** The functions, and the memory that they work on. The first {@link PIECE_BYTES} are for what is to be widened. */
export interface Kernels {
  memory: Memory;
  widen: Widen;
  widenMxfp4: WidenMxfp4;
  widenFp8: WidenFp8;
  transpose: Transpose;
}

/** Bytes that are widened at once: the processor's cache holds them and what they become. */
export const PIECE_BYTES = 1 << 18;

/** Numbers that are widened at once, of at most 16 bits each. */
export const PIECE_NUMBERS = PIECE_BYTES / 2;

/** Numbers that one turn of widening takes. */
export const TURN = 32;
export const FP8_TURN = 16;

/** Four of the eight bfloat16 of the upper vector, two bytes below each, zeros where the lower vector is. */
function half(h: number): number[] {
  return [0, 1, 2, 3].flatMap((i) => [0, 1].concat([0, 1].map((b) => 16 + 8 * h + 2 * i + b)));
}

/** Byte by byte from two vectors, of each the lower or the upper eight. */
function alternating(h: number): number[] {
  return [0, 1, 2, 3, 4, 5, 6, 7].flatMap((i) => [8 * h + i, 16 + 8 * h + i]);
}

function widenCode(): number[] {
  const { get, set, tee, number, load, store, shuffle } = op;
  const [out, bytes, count, zeros, eight] = [0, 1, 2, 3, 4] as const;
  return [
    [...op.zeros, ...set(zeros)],
    op.loop,
    ...[0, 1, 2, 3].map((v) =>
      [
        [...get(bytes), ...load(16 * v), ...set(eight)],
        ...[0, 1].map((h) => [
          ...get(out),
          ...get(zeros),
          ...get(eight),
          ...shuffle(half(h)),
          ...store(32 * v + 16 * h),
        ]),
      ].flat(),
    ),
    [...get(bytes), ...number(2 * TURN), ...op.plus, ...set(bytes)],
    [...get(out), ...number(4 * TURN), ...op.plus, ...set(out)],
    [...get(count), ...number(TURN), ...op.minus, ...tee(count), ...number(0), ...op.above, ...op.repeatIf],
    op.end,
    op.end,
  ].flat();
}

/** The upper two bytes, highest first, of 0, 0.5, 1, 1.5, 2, 3, 4 and 6 as float32; those below are zeros. */
const E2M1 = [
  [0, 0x3f, 0x3f, 0x3f, 0x40, 0x40, 0x40, 0x40],
  [0, 0, 0x80, 0xc0, 0, 0x40, 0x80, 0xc0],
] as const;

function widenMxfp4Code(): number[] {
  const { get, set, tee, number, load, store, shuffle } = op;
  const [out, bytes, factors, groups] = [0, 1, 2, 3] as const;
  const [zeros, highest, second, mask, pairs, codes, factor, upper, lower] = [4, 5, 6, 7, 8, 9, 10, 11, 12] as const;
  const odd = 13;
  const sixteen = (h: number): number[][] => [
    [...get(pairs), ...get(odd), ...shuffle(alternating(h)), ...set(codes)],
    [...get(highest), ...get(codes), ...op.look, ...set(upper)],
    [...get(second), ...get(codes), ...op.look, ...set(lower)],
    ...[0, 1].map((g) =>
      [
        [...get(lower), ...get(upper), ...shuffle(alternating(g)), ...set(codes)], // eight numbers' upper halves
        ...[0, 1].map((q) =>
          [
            [...get(out), ...get(zeros), ...get(codes), ...shuffle(half(q))],
            [...get(factor), ...op.vectorTimes, ...store(64 * h + 32 * g + 16 * q)],
          ].flat(),
        ),
      ].flat(),
    ),
  ];
  const signed = (byte: number): number => byte | 0x80;
  return [
    [...op.zeros, ...set(zeros), ...op.bytes(Array<number>(16).fill(15)), ...set(mask)],
    [...op.bytes([...E2M1[0], ...E2M1[0].map(signed)]), ...set(highest)],
    [...op.bytes([...E2M1[1], ...E2M1[1]]), ...set(second)],
    op.loop,
    [...get(bytes), ...load(0), ...tee(pairs), ...number(4), ...op.shiftBytes, ...set(odd)],
    [...get(pairs), ...get(mask), ...op.common, ...set(pairs), ...get(factors), ...op.loadOne(0), ...set(factor)],
    ...[0, 1].flatMap(sixteen),
    [...get(bytes), ...number(16), ...op.plus, ...set(bytes), ...get(out), ...number(128), ...op.plus, ...set(out)],
    [...get(factors), ...number(4), ...op.plus, ...set(factors)],
    [...get(groups), ...number(1), ...op.minus, ...tee(groups), ...op.repeatIf],
    op.end,
    op.end,
  ].flat();
}

/** What the highest byte of a float32 is at exponent 0 of an FP8, whose bias is 7 where that of a float32 is 127. */
const EXPONENT = (127 - 7) >> 1;

/**
 * What the two upper bytes of the eight subnormal FP8, and of 0, have else than the rule for the others gives: the rule
 * shifts exponent and fraction to their places in a float32, where a subnormal is a number like any other.
 */
const SUBNORMAL = [0, 1, 2, 3, 4, 5, 6, 7].map((fraction) => {
  const [bits = 0] = new Uint32Array(Float32Array.of(fraction * 2 ** -9).buffer);
  return { highest: (bits >>> 24) ^ EXPONENT, second: ((bits >>> 16) & 255) ^ (fraction << 4) };
});

function widenFp8Code(): number[] {
  const { get, set, tee, number, load, store, shuffle } = op;
  const [out, bytes, factorAt, count] = [0, 1, 2, 3] as const;
  const [zeros, highest, second, magnitudes, none, bias, factor, codes, sign, upper, lower] = [
    4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
  ] as const;
  const all = (byte: number): number[] => op.bytes(Array<number>(16).fill(byte));
  /** For `look`, which gives 0 for what is past the sixteen. */
  const table = (of: "highest" | "second"): number[] =>
    op.bytes([...SUBNORMAL.map((one) => one[of]), ...Array<number>(8).fill(0)]);
  return [
    [...op.zeros, ...set(zeros), ...table("highest"), ...set(highest), ...table("second"), ...set(second)],
    [...all(0x7f), ...set(magnitudes), ...all(0x80), ...set(sign), ...all(EXPONENT), ...set(bias)],
    [...get(factorAt), ...op.loadOne(0), ...set(factor)],
    op.loop,
    [...get(bytes), ...load(0), ...tee(codes), ...get(sign), ...op.common, ...set(upper)],
    [...get(codes), ...get(magnitudes), ...op.common, ...tee(codes), ...get(magnitudes), ...op.sameBytes, ...set(none)],
    [...get(codes), ...number(4), ...op.shiftBytes, ...get(bias), ...op.plusBytes],
    [...get(highest), ...get(codes), ...op.look, ...op.different], // the highest byte of a magnitude
    [...get(upper), ...op.either, ...get(none), ...op.either, ...set(upper)], // all ones are NaN's
    [...get(codes), ...number(4), ...op.raiseBytes, ...get(second), ...get(codes), ...op.look, ...op.different],
    set(lower),
    ...[0, 1].map((h) =>
      [
        [...get(lower), ...get(upper), ...shuffle(alternating(h)), ...set(codes)], // eight numbers' upper halves
        ...[0, 1].map((q) =>
          [
            [...get(out), ...get(zeros), ...get(codes), ...shuffle(half(q))],
            [...get(factor), ...op.vectorTimes, ...store(32 * h + 16 * q)],
          ].flat(),
        ),
      ].flat(),
    ),
    [...get(bytes), ...number(FP8_TURN), ...op.plus, ...set(bytes)],
    [...get(out), ...number(4 * FP8_TURN), ...op.plus, ...set(out)],
    [...get(count), ...number(FP8_TURN), ...op.minus, ...tee(count), ...number(0), ...op.above, ...op.repeatIf],
    op.end,
    op.end,
  ].flat();
}

function transposeCode(): number[] {
  const { get, set, tee, number, load, store } = op;
  const [out, x, rows, columns, outStride, xStride, from, to, left] = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
  const row = [9, 10, 11, 12] as const;
  const pair = [13, 14, 15, 16] as const;
  const plusTimes = (address: number, stride: number, times: number): number[] => [
    ...get(address),
    ...Array.from({ length: times }, () => [...get(stride), ...op.plus]).flat(),
  ];
  /** Four of the eight numbers of two vectors. */
  const pick = (a: number, b: number, numbers: number[]): number[] => [
    ...get(a),
    ...get(b),
    ...op.shuffle(numbers.flatMap((n) => [4 * n, 4 * n + 1, 4 * n + 2, 4 * n + 3])),
  ];
  const columnsOf = (k: number): number[] =>
    pick(pair[k >> 1]!, pair[2 + (k >> 1)]!, k % 2 === 0 ? [0, 1, 4, 5] : [2, 3, 6, 7]);
  return [
    op.loop, // over columns, four at a time
    [...get(x), ...set(from), ...get(out), ...set(to), ...get(rows), ...set(left)],
    op.loop, // over rows, four at a time
    ...row.map((vector, k) => [...plusTimes(from, xStride, k), ...load(0), ...set(vector)]),
    ...[0, 1].map((k) => [...pick(row[0], row[1], [2 * k, 4 + 2 * k, 2 * k + 1, 5 + 2 * k]), ...set(pair[k]!)]),
    ...[0, 1].map((k) => [...pick(row[2], row[3], [2 * k, 4 + 2 * k, 2 * k + 1, 5 + 2 * k]), ...set(pair[2 + k]!)]),
    ...[0, 1, 2, 3].map((k) => [...plusTimes(to, outStride, k), ...columnsOf(k), ...store(0)]),
    [...plusTimes(from, xStride, 4), ...set(from), ...get(to), ...number(16), ...op.plus, ...set(to)],
    [...get(left), ...number(4), ...op.minus, ...tee(left), ...op.repeatIf],
    op.end,
    [...get(x), ...number(16), ...op.plus, ...set(x), ...plusTimes(out, outStride, 4), ...set(out)],
    [...get(columns), ...number(4), ...op.minus, ...tee(columns), ...op.repeatIf],
    op.end,
    op.end,
  ].flat();
}

const FUNCTIONS: readonly WasmFunction[] = [
  { name: "widen", params: 3, numbers: 0, vectors: 2, code: widenCode() },
  { name: "widenMxfp4", params: 4, numbers: 0, vectors: 10, code: widenMxfp4Code() },
  { name: "widenFp8", params: 4, numbers: 0, vectors: 11, code: widenFp8Code() },
  { name: "transpose", params: 6, numbers: 3, vectors: 8, code: transposeCode() },
];

let compiled: object | null = null;

/** Whose memory a buffer is; a memory has a new buffer when it has grown. */
const owners = new WeakMap<ArrayBufferLike, Kernels>();

/** The functions on a new memory of at least so many bytes; it may grow to 4 GiB. */
export function kernels(bytes: number): Kernels {
  const memory = newMemory(bytes, { shared: false, maximum: MAX_PAGES });
  compiled ??= compile(FUNCTIONS, false);
  const own = { memory, ...instantiate<Omit<Kernels, "memory">>(compiled, memory) };
  owners.set(memory.buffer, own);
  return own;
}

/** The functions that work where an array lies, if there are any. */
export function kernelsOf({ buffer }: { buffer: ArrayBufferLike }): Kernels | undefined {
  return owners.get(buffer);
}

let bench: Kernels | null = null;

/**
 * Widens numbers, at most {@link PIECE_NUMBERS}, to where an array lies, or beside it if no function works there.
 * @param widen puts what is to be widened into the first bytes of this memory, and its numbers at the address
 */
export function widenTo(
  out: Float32Array,
  at: number,
  count: number,
  widen: (own: Kernels, address: number) => void,
): void {
  const own = kernelsOf(out);
  if (own !== undefined) {
    widen(own, out.byteOffset + 4 * at);
    return;
  }
  bench ??= kernels(PIECE_BYTES + 4 * (PIECE_NUMBERS + TURN));
  widen(bench, PIECE_BYTES);
  out.set(new Float32Array(bench.memory.buffer, PIECE_BYTES, count), at);
}

/**
 * Makes the memory at least so large; arrays on it from before are then empty.
 * @throws RangeError where that is more than 4 GiB
 */
export function growTo(own: Kernels, bytes: number): void {
  const missing = bytes - own.memory.buffer.byteLength;
  if (missing <= 0) return;
  own.memory.grow(Math.ceil(missing / PAGE));
  owners.set(own.memory.buffer, own);
}
