import {
  canRun,
  compile,
  instantiate,
  MAX_PAGES,
  type Memory,
  newMemory,
  op,
  PAGE,
  type WasmFunction,
} from "../wasmModule.ts";

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

function code(): number[] {
  const { get, set, tee, number, load, lane } = op;
  const [out, x, w, rows, width, stride, at, xEnd, skip] = [0, 1, 2, 3, 4, 5, 6, 7, 8] as const;
  const sums = [9, 10, 11, 12] as const; // four sums of four, so that no addition waits for the one before
  return [
    [...get(x), ...get(width), ...op.plus, ...set(xEnd)],
    [...get(stride), ...get(width), ...op.minus, ...set(skip)],
    op.loop, // over rows
    ...sums.map((sum) => [...op.zeros, ...set(sum)]),
    [...get(x), ...set(at)],
    op.loop, // over 16 numbers of the row
    ...sums.map((sum, i) => {
      const product = [...get(at), ...load(16 * i), ...get(w), ...load(16 * i), ...op.vectorTimes];
      return [...get(sum), ...product, ...op.vectorPlus, ...set(sum)];
    }),
    [...get(w), ...number(64), ...op.plus, ...set(w)],
    [...get(at), ...number(64), ...op.plus, ...tee(at), ...get(xEnd), ...op.below, ...op.repeatIf],
    op.end,
    [...get(sums[0]), ...get(sums[1]), ...op.vectorPlus, ...get(sums[2]), ...get(sums[3]), ...op.vectorPlus],
    [...op.vectorPlus, ...set(sums[0])],
    [...get(out), ...[0, 1, 2, 3].flatMap((i) => [...get(sums[0]), ...lane(i)])],
    [...op.floatPlus, ...op.floatPlus, ...op.floatPlus, ...op.storeFloat],
    [...get(out), ...number(4), ...op.plus, ...set(out)],
    [...get(w), ...get(skip), ...op.plus, ...set(w)],
    [...get(rows), ...number(1), ...op.minus, ...tee(rows), ...op.repeatIf],
    op.end,
    op.end,
  ].flat();
}

const DOTS: readonly WasmFunction[] = [{ name: "dots", params: 6, numbers: 3, vectors: 4, code: code() }];

/** Whether this machine can run it: it takes instructions for four numbers at once. */
export function canDot(): boolean {
  return canRun(DOTS);
}

const compiled = new Map<boolean, object>();

/** The compiled module, made once; threads can be sent it. */
export function dotsModule(shared: boolean): object {
  const module = compiled.get(shared) ?? compile(DOTS, shared);
  compiled.set(shared, module);
  return module;
}

/** The function on a new memory, all zeros. One that threads share can grow; one that they do not counts for the garbage collector. */
export function dotsOn(bytes: number, shared: boolean): { memory: Memory; dots: Dots } {
  const maximum = shared ? MAX_PAGES : Math.ceil(bytes / PAGE);
  const memory = newMemory(bytes, { shared, maximum });
  return { memory, ...instantiate<{ dots: Dots }>(dotsModule(shared), memory) };
}

/** Numbers that a row of so many takes up, the rest zeros. */
export function padded(numbers: number): number {
  return Math.ceil(numbers / LANES) * LANES;
}
