import * as tf from "@tensorflow/tfjs";
import { ShapeError } from "./errors.ts";

type Info = tf.TensorInfo;

/** What these kernels use of the wasm backend, some of which its own type hides. */
interface Backend {
  wasm: {
    HEAPU8: Uint8Array;
    cwrap(name: string, returns: null, takes: readonly ("number" | "array")[]): RawMatMul;
    tfjs: { registerTensor(id: number, size: number, address: number): void; disposeData(id: number): void };
  };
  /** The next unused id of a tensor in the module. */
  dataIdNextNumber: number;
  /** A new tensor, its numbers not set. */
  makeOutput(shape: number[], dtype: tf.DataType): Info;
  typedArrayFromHeap(x: Info): Float32Array | Int32Array;
  getMemoryOffset(dataId: object): number;
  disposeData(dataId: object): void;
}

interface Call {
  inputs: Record<string, Info>;
  backend: Backend;
  attrs: Record<string, unknown>;
}
type Kernel = (call: Call) => Info;
type RawMatMul = (...args: (number | Uint8Array | boolean)[]) => void;

const size = tf.util.sizeFromShape;

/**
 * Sums rows by segment: x [n, …], segmentIds [n] → [numSegments, …]; an id outside 0 … numSegments-1 is dropped.
 * The package has no such kernel, and the gradient of gather needs it.
 */
function unsortedSegmentSum({ inputs, backend, attrs }: Call): Info {
  const x = inputs["x"]!;
  const segmentIds = inputs["segmentIds"]!;
  const numSegments = attrs["numSegments"] as number;
  const row = x.shape.slice(segmentIds.shape.length);
  const width = size(row);
  const out = backend.makeOutput([numSegments, ...row], x.dtype);
  // Views are taken after the output's allocation, which may grow the heap and so detach older views.
  const to = backend.typedArrayFromHeap(out).fill(0);
  const from = backend.typedArrayFromHeap(x);
  const ids = backend.typedArrayFromHeap(segmentIds);
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]!;
    if (id < 0 || id >= numSegments) continue;
    for (let j = 0, a = id * width, b = i * width; j < width; j++) to[a + j]! += from[b + j]!;
  }
  return out;
}

/**
 * Picks slices of x along an axis: x [batch, outer, axis, slice], indices [batch, picks] → [batch, outer, picks, slice].
 * The package's own kernel copies number by number, hundreds of times slower for wide slices, and errs with batch axes.
 */
function gather({ inputs, backend, attrs }: Call): Info {
  const x = inputs["x"]!;
  const indices = inputs["indices"]!;
  const axis = tf.util.parseAxisParam(attrs["axis"] as number, x.shape)[0]!;
  const { batchSize, outerSize, dimSize, sliceSize, outputShape } =
    tf.backend_util.segment_util.collectGatherOpShapeInfo(x, indices, axis, attrs["batchDims"] as number);
  const bad = backend.typedArrayFromHeap(indices).find((pick) => pick < 0 || pick >= dimSize);
  if (bad !== undefined) throw new RangeError(`gather: an index must be from 0 to ${dimSize - 1}, got ${bad}`);
  const out = backend.makeOutput(outputShape, x.dtype);
  const bytes = sliceSize * tf.util.bytesPerElement(x.dtype);
  const from = backend.getMemoryOffset(x.dataId);
  let to = backend.getMemoryOffset(out.dataId);
  const picks = backend.typedArrayFromHeap(indices);
  const perBatch = picks.length / batchSize;
  for (let block = 0; block < batchSize * outerSize; block++) {
    const first = Math.floor(block / outerSize) * perBatch;
    for (let i = first; i < first + perBatch; i++) {
      const start = from + (block * dimSize + picks[i]!) * bytes;
      backend.wasm.HEAPU8.copyWithin(to, start, start + bytes);
      to += bytes;
    }
  }
  return out;
}

/** indices [n] → [n, depth]. The package's own kernel writes whole numbers, whatever type is asked for. */
function oneHot({ inputs, backend, attrs }: Call): Info {
  const indices = inputs["indices"]!;
  const { depth, dtype, onValue, offValue } = attrs as {
    depth: number;
    dtype: tf.DataType;
    onValue: number;
    offValue: number;
  };
  const out = backend.makeOutput([...indices.shape, depth], dtype);
  const to = backend.typedArrayFromHeap(out).fill(offValue);
  for (const [row, index] of backend.typedArrayFromHeap(indices).entries())
    if (index >= 0 && index < depth) to[row * depth + index] = onValue;
  return out;
}

/** Swaps the last two axes. In tiles, so that reads and writes stay in the cache: the package's kernel is 2 to 4 times slower. */
function swapLastAxes(backend: Backend, x: Info): Info {
  const [rows, cols] = x.shape.slice(-2) as [number, number];
  const out = backend.makeOutput([...x.shape.slice(0, -2), cols, rows], x.dtype);
  const to = backend.typedArrayFromHeap(out);
  const from = backend.typedArrayFromHeap(x);
  const tile = 32;
  for (let start = 0; start < from.length; start += rows * cols)
    for (let i0 = 0; i0 < rows; i0 += tile)
      for (let j0 = 0; j0 < cols; j0 += tile)
        for (let j = j0, end = Math.min(cols, j0 + tile); j < end; j++) {
          const last = start + j * rows + Math.min(rows, i0 + tile);
          for (let at = start + j * rows + i0, next = start + i0 * cols + j; at < last; at++, next += cols)
            to[at] = from[next]!;
        }
  return out;
}

/**
 * Multiplies [batch, m, k] by [batch, k, n] through the package's fast path, which takes one plain product at a time:
 * slices of the operands are registered where they lie, under ids of their own, and forgotten after the call.
 */
function multiplySlices(backend: Backend, raw: RawMatMul, a: Info, b: Info, out: Info): void {
  const [m, n] = out.shape.slice(-2) as [number, number];
  const k = a.shape.at(-1)!;
  const batch = size(out.shape) / (m * n);
  const slices = (x: Info): ((s: number) => number) => {
    const length = size(x.shape.slice(-2));
    const count = size(x.shape) / length;
    const start = backend.getMemoryOffset(x.dataId);
    return (s) => {
      const id = backend.dataIdNextNumber++;
      backend.wasm.tfjs.registerTensor(id, length, start + (s % count) * length * 4);
      return id;
    };
  };
  const [sliceA, sliceB, sliceOut] = [slices(a), slices(b), slices(out)];
  const shapeA = new Uint8Array(Int32Array.of(1, m, k).buffer);
  const shapeB = new Uint8Array(Int32Array.of(1, k, n).buffer);
  for (let s = 0; s < batch; s++) {
    const ids = [sliceA(s), sliceB(s), sliceOut(s)] as const;
    raw(ids[0], shapeA, 3, ids[1], shapeB, 3, false, false, ids[2]);
    // Forgetting the second operand also frees the packed copy of it that the call made.
    for (const id of ids) backend.wasm.tfjs.disposeData(id);
  }
}

/**
 * Products that are batched or have a transposed operand, which the package computes number by number, some twenty
 * times slower: operands are transposed first, then multiplied slice by slice. Of a·bᵀ with a large b, as weights are, it is
 * a that is transposed, and the product after it: (b·aᵀ)ᵀ.
 */
function batchMatMul(stock: Kernel, raw: RawMatMul, call: Call): Info {
  const { inputs, backend, attrs } = call;
  const { a, b } = inputs as { a: Info; b: Info };
  const { transposeA, transposeB } = attrs as { transposeA: boolean; transposeB: boolean };
  const m = a.shape.at(transposeA ? -1 : -2)!;
  const n = b.shape.at(transposeB ? -2 : -1)!;
  const batchA = size(a.shape.slice(0, -2));
  const batchB = size(b.shape.slice(0, -2));
  if (batchA !== batchB && batchA !== 1 && batchB !== 1)
    throw new ShapeError(
      `matMul: batch axes must be equal or 1 on wasm, got [${a.shape.join()}] and [${b.shape.join()}]`,
    );
  const k = a.shape.at(transposeA ? -2 : -1)!;
  const plain = batchA * batchB === 1 && !transposeA && !transposeB;
  const turned = transposeB && !transposeA && batchA <= batchB && m * (n + k) < n * k;
  // Packing the second operand costs as much as two rows of the slow path, transposing it first as much as six.
  const fewRows = !turned && m <= (transposeB ? 6 : 2);
  const empty = size(a.shape) * size(b.shape) === 0;
  if ((plain || fewRows) && !empty) return stock(call);
  const outer = tf.broadcast_util.assertAndGetBroadcastShape(a.shape.slice(0, -2), b.shape.slice(0, -2));
  const out = backend.makeOutput([...outer, ...(turned ? [n, m] : [m, n])], "float32");
  if (empty) {
    backend.typedArrayFromHeap(out).fill(0);
    return out;
  }
  if (turned) {
    const right = swapLastAxes(backend, a);
    multiplySlices(backend, raw, b, right, out);
    const result = swapLastAxes(backend, out);
    for (const { dataId } of [right, out]) backend.disposeData(dataId);
    return result;
  }
  const left = transposeA ? swapLastAxes(backend, a) : a;
  const right = transposeB ? swapLastAxes(backend, b) : b;
  multiplySlices(backend, raw, left, right, out);
  if (transposeA) backend.disposeData(left.dataId);
  if (transposeB) backend.disposeData(right.dataId);
  return out;
}

/** Puts a kernel in the place of the package's own, whose set-up stays. */
function replaceKernel(kernelName: string, kernelFunc: Kernel): void {
  const setupFunc = tf.getKernel(kernelName, "wasm")?.setupFunc;
  if (setupFunc) tf.unregisterKernel(kernelName, "wasm");
  const kernel = { kernelName, backendName: "wasm", kernelFunc: kernelFunc as unknown as tf.KernelFunc };
  tf.registerKernel(setupFunc ? { ...kernel, setupFunc } : kernel);
}

/**
 * Gives the wasm backend what it lacks, gets wrong or does slowly; called once, when the backend is loaded.
 * Known to be wrong in the package and not needed here: clipByValue of whole numbers, reverse of truth values, and
 * casts to truth values (compare with 0 instead).
 */
export function completeWasmKernels(): void {
  const { wasm } = tf.findBackend("wasm") as unknown as Backend;
  const number = "number";
  const matrix = [number, "array", number] as const; // id, shape, rank
  const raw = wasm.cwrap("BatchMatMul", null, [...matrix, ...matrix, number, number, number]);
  const stock = tf.getKernel("BatchMatMul", "wasm").kernelFunc as unknown as Kernel;
  replaceKernel("BatchMatMul", (call) => batchMatMul(stock, raw, call));
  replaceKernel("GatherV2", gather);
  replaceKernel("OneHot", oneHot);
  replaceKernel("UnsortedSegmentSum", unsortedSegmentSum);
}
