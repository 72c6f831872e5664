/**
 * Scalar products of many rows with one vector, as a WebAssembly function: decoding a token is little else. JavaScript
 * has no instruction for four numbers at once, and a backend's matrix product is made for many rows; this one reads
 * weights as fast as memory gives them. In JavaScript it would be
 *
 *     for (let r = 0; r < rows; r++) {
 *       out[r] = 0;
 *       for (let i = 0; i < width; i++) out[r] += x[i] * w[r * stride + i];
 *     }
 *
 * with `out`, `x` and `w` as addresses, and `width` and `stride`, in bytes; rows are at least 1, the width is a multiple
 * of {@link LANES} numbers.
 */
export type Dots = (out: number, x: number, w: number, rows: number, width: number, stride: number) => void;

/** Numbers that one turn of the inner loop takes. */
export const LANES = 16;

/** A memory; views of one that threads share stay valid when it grows. */
export interface Memory {
  readonly buffer: ArrayBufferLike;
  grow(pages: number): void;
}

/** What is used of WebAssembly, whose types TypeScript has only for browsers. */
declare const WebAssembly: {
  validate(bytes: Uint8Array): boolean;
  Module: new (bytes: Uint8Array) => object;
  Memory: new (limits: { initial: number; maximum: number; shared: boolean }) => Memory;
  Instance: new (module: object, imports: { env: { memory: Memory } }) => { exports: { dots: Dots } };
};

/** Bytes of a page, WebAssembly's unit of memory, and the most pages there can be: 4 GiB. */
export const PAGE = 1 << 16;
export const MAX_PAGES = 1 << 16;

const [I32, V128] = [0x7f, 0x7b];
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const tee = (local: number): number[] => [0x22, local];
const [loop, end, repeatIf] = [[0x03, 0x40], [0x0b], [0x0d, 0]];
const [four, sixtyFour, one] = [
  [0x41, 4],
  [0x41, 0xc0, 0],
  [0x41, 1],
];
const [plus, minus, below] = [[0x6a], [0x6b], [0x49]];
const load = (offset: number): number[] => [0xfd, 0, 4, offset];
const zeros = [0xfd, 12, ...Array<number>(16).fill(0)];
const [vectorPlus, vectorTimes] = [
  [0xfd, 0xe4, 1],
  [0xfd, 0xe6, 1],
];
const lane = (i: number): number[] => [0xfd, 31, i];
const [floatPlus, storeFloat] = [[0x92], [0x38, 2, 0]];

function code(): number[] {
  const [out, x, w, rows, width, stride, at, xEnd, skip] = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
  const sums = [9, 10, 11, 12] as const; // four sums of four, so that no addition waits for the one before
  return [
    [...get(x), ...get(width), ...plus, ...set(xEnd)],
    [...get(stride), ...get(width), ...minus, ...set(skip)],
    loop, // over rows
    ...sums.map((sum) => [...zeros, ...set(sum)]),
    [...get(x), ...set(at)],
    loop, // over 16 numbers of the row
    ...sums.map((sum, i) => {
      const product = [...get(at), ...load(16 * i), ...get(w), ...load(16 * i), ...vectorTimes];
      return [...get(sum), ...product, ...vectorPlus, ...set(sum)];
    }),
    [...get(w), ...sixtyFour, ...plus, ...set(w)],
    [...get(at), ...sixtyFour, ...plus, ...tee(at), ...get(xEnd), ...below, ...repeatIf],
    end,
    [...get(sums[0]), ...get(sums[1]), ...vectorPlus, ...get(sums[2]), ...get(sums[3]), ...vectorPlus],
    [...vectorPlus, ...set(sums[0])],
    [...get(out), ...[0, 1, 2, 3].flatMap((i) => [...get(sums[0]), ...lane(i)])],
    [...floatPlus, ...floatPlus, ...floatPlus, ...storeFloat],
    [...get(out), ...four, ...plus, ...set(out)],
    [...get(w), ...get(skip), ...plus, ...set(w)],
    [...get(rows), ...one, ...minus, ...tee(rows), ...repeatIf],
    end,
    end,
  ].flat();
}

/** Bytes with their number in front (LEB128). */
function counted(bytes: number[]): number[] {
  const count: number[] = [];
  let left = bytes.length;
  for (; left > 127; left >>= 7) count.push((left & 127) | 128);
  return [...count, left, ...bytes];
}

/**
 * The module in WebAssembly's binary form: one function, on a memory that it is given and that threads share or do not.
 * @see the WebAssembly specification, section 5, for the form, and its index of instructions for the numbers above
 */
function moduleBytes(shared: boolean): Uint8Array {
  const name = (text: string): number[] => counted([...new TextEncoder().encode(text)]);
  const section = (id: number, content: number[]): number[] => [id, ...counted(content)];
  const head = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];
  const pages = [shared ? 3 : 1, 0, 0x80, 0x80, 4]; // from 0 to MAX_PAGES
  return Uint8Array.from([
    ...head,
    ...section(1, [1, 0x60, ...counted(Array<number>(6).fill(I32)), 0]), // its type: six numbers, no result
    ...section(2, [1, ...name("env"), ...name("memory"), 2, ...pages]), // imports a memory
    ...section(3, [1, 0]), // one function of that type
    ...section(7, [1, ...name("dots"), 0, 0]), // exports it
    ...section(10, [1, ...counted([2, 3, I32, 4, V128, ...code()])]), // its locals and instructions
  ]);
}

/** Whether this machine can run it: it takes instructions for four numbers at once. */
export function canDot(): boolean {
  return WebAssembly.validate(moduleBytes(true));
}

const compiled = new Map<boolean, object>();

/** The compiled module, made once; threads can be sent it. */
export function dotsModule(shared: boolean): object {
  const module = compiled.get(shared) ?? new WebAssembly.Module(moduleBytes(shared));
  compiled.set(shared, module);
  return module;
}

/** The function on a new memory, all zeros. One that threads share can grow; one that they do not counts for the garbage collector. */
export function dotsOn(bytes: number, shared: boolean): { memory: Memory; dots: Dots } {
  const initial = Math.ceil(bytes / PAGE);
  const memory = new WebAssembly.Memory({ initial, maximum: shared ? MAX_PAGES : initial, shared });
  return { memory, dots: new WebAssembly.Instance(dotsModule(shared), { env: { memory } }).exports.dots };
}

/** Numbers that a row of so many takes up, the rest zeros. */
export function padded(numbers: number): number {
  return Math.ceil(numbers / LANES) * LANES;
}
