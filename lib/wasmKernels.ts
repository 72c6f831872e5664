import * as tf from "@tensorflow/tfjs";
import type { BackendWasm } from "@tensorflow/tfjs-backend-wasm";

type Info = tf.TensorInfo;
interface Call {
  inputs: Record<string, Info>;
  backend: BackendWasm;
  attrs: Record<string, unknown>;
}
type Kernel = (call: Call) => Info;

const size = tf.util.sizeFromShape;

/** Sums rows into segments: x [n, …], segmentIds [n] → [numSegments, …]; ids outside 0 … numSegments-1 are dropped. */
function unsortedSegmentSum({ inputs, backend, attrs }: Call): Info {
  const x = inputs["x"]!;
  const segmentIds = inputs["segmentIds"]!;
  const numSegments = attrs["numSegments"] as number;
  const n = size(segmentIds.shape);
  const inner = x.shape.slice(segmentIds.shape.length);
  const width = size(inner);
  const out = backend.makeOutput([numSegments, ...inner], x.dtype);
  // Views are taken after the output's allocation, which may grow and so move the heap.
  const to = backend.typedArrayFromHeap(out).fill(0);
  const from = backend.typedArrayFromHeap(x);
  const ids = backend.typedArrayFromHeap(segmentIds);
  for (let i = 0; i < n; i++) {
    const id = ids[i]!;
    if (id < 0 || id >= numSegments) continue;
    for (let j = 0, a = id * width, b = i * width; j < width; j++) to[a + j]! += from[b + j]!;
  }
  return out;
}

function register(kernelName: string, kernelFunc: Kernel): void {
  tf.registerKernel({ kernelName, backendName: "wasm", kernelFunc: kernelFunc as unknown as tf.KernelFunc });
}

/** Gives the wasm backend what it lacks or does slowly; called once, after the backend is registered. */
export function completeWasmKernels(): void {
  register("UnsortedSegmentSum", unsortedSegmentSum);
}
