import * as tf from "@tensorflow/tfjs";

type Info = tf.TensorInfo;

/** What these kernels use of tfjs-node's backend, whose own type is not exported. */
interface Backend {
  binding: Record<"TF_ATTR_TYPE" | "TF_ATTR_INT" | "TF_ATTR_STRING", number>;
  getDTypeInteger(dtype: tf.DataType): number;
  executeSingleOutput(operation: string, attributes: readonly Attribute[], inputs: readonly Info[]): Info;
  write(values: Int32Array, shape: readonly number[], dtype: "int32"): object;
  disposeData(dataId: object): void;
  incRef(dataId: object): void;
}

interface Attribute {
  name: string;
  type: number;
  value: number | string;
}

interface Call {
  inputs: Record<string, Info>;
  backend: Backend;
  attrs: Record<string, unknown>;
}
type Kernel = (call: Call) => Info;

/** A type attribute of an operation. */
const typed = (backend: Backend, name: string, dtype: tf.DataType): Attribute => ({
  name,
  type: backend.binding.TF_ATTR_TYPE,
  value: backend.getDTypeInteger(dtype),
});

/**
 * Shapes, axes and places that operations are given as tensors, those used last at the end. The package makes a new one for
 * each call.
 */
const constants = new Map<string, Info>();
const MOST_CONSTANTS = 4096;

function constant(backend: Backend, values: number | readonly number[]): Info {
  const shape = typeof values === "number" ? [] : [values.length];
  const key = `${shape.join()}:${values.toString()}`;
  let info = constants.get(key);
  if (info === undefined) {
    const numbers = typeof values === "number" ? Int32Array.of(values) : Int32Array.from(values);
    info = { dataId: backend.write(numbers, shape, "int32"), shape, dtype: "int32" };
  } else constants.delete(key);
  constants.set(key, info);
  if (constants.size > MOST_CONSTANTS) {
    const [oldest, { dataId }] = constants.entries().next().value!;
    constants.delete(oldest);
    backend.disposeData(dataId);
  }
  return info;
}

/** The same numbers once more, with no operation of TensorFlow's. */
function shared({ dataId, shape, dtype }: Info, backend: Backend): Info {
  backend.incRef(dataId);
  return { dataId, shape, dtype };
}

/** gradients / (exp(−features) + 1) in one pass: a product with a sigmoid. The package has no kernel of that name. */
function softplusGrad({ inputs, backend }: Call): Info {
  const { gradients, features } = inputs as { gradients: Info; features: Info };
  return backend.executeSingleOutput("SoftplusGrad", [typed(backend, "T", features.dtype)], [gradients, features]);
}

/**
 * oneDNN's softmax, in two thirds of the time of TensorFlow's own. TensorFlow takes it where it rewrites a graph, and for single
 * operations only products; so it is asked for by its own name, and by the label that such kernels are registered under.
 */
function softmax({ inputs, backend }: Call): Info {
  const x = inputs["logits"]!;
  const label = { name: "_kernel", type: backend.binding.TF_ATTR_STRING, value: "MklNameChangeOp" };
  return backend.executeSingleOutput("_MklSoftmax", [typed(backend, "T", x.dtype), label], [x]);
}

/** Whether it can be had: not every build of TensorFlow has oneDNN, and it can be turned off. */
function hasSoftmax(): boolean {
  const backend = tf.findBackend("tensorflow") as unknown as Backend;
  try {
    return tf.tidy(() => {
      softmax({ inputs: { logits: tf.tensor1d([0, 1]) }, backend, attrs: {} });
      return true;
    });
  } catch {
    return false;
  }
}

/** Cuts numbers at two limits. The package makes two operations of it, and a pass over all numbers for each. */
function clipByValue({ inputs, backend, attrs }: Call): Info {
  const x = inputs["x"]!;
  return tf.tidy(() => {
    const limits = ["clipValueMin", "clipValueMax"].map((limit) => tf.scalar(attrs[limit] as number, x.dtype));
    return backend.executeSingleOutput("ClipByValue", [typed(backend, "T", x.dtype)], [x, ...limits]) as tf.Tensor;
  });
}

/** A change of type; none where it is the same: a mean casts float32 to float32. */
function cast({ inputs, backend, attrs }: Call, stock: Kernel): Info {
  const x = inputs["x"]!;
  return x.dtype === attrs["dtype"] ? shared(x, backend) : stock({ inputs, backend, attrs });
}

function reshape({ inputs, backend, attrs }: Call): Info {
  const x = inputs["x"]!;
  const shape = attrs["shape"] as number[];
  if (x.shape.length === shape.length && x.shape.every((size, axis) => size === shape[axis])) return shared(x, backend);
  const types = [typed(backend, "T", x.dtype), typed(backend, "Tshape", "int32")];
  return backend.executeSingleOutput("Reshape", types, [x, constant(backend, shape)]);
}

function transpose({ inputs, backend, attrs }: Call): Info {
  const x = inputs["x"]!;
  const types = [typed(backend, "T", x.dtype), typed(backend, "Tperm", "int32")];
  return backend.executeSingleOutput("Transpose", types, [x, constant(backend, attrs["perm"] as number[])]);
}

function slice({ inputs, backend, attrs }: Call): Info {
  const x = inputs["x"]!;
  const [begin, size] = tf.slice_util.parseSliceParams(x, attrs["begin"] as number[], attrs["size"] as number[]);
  const types = [typed(backend, "T", x.dtype), typed(backend, "Index", "int32")];
  return backend.executeSingleOutput("Slice", types, [x, constant(backend, begin!), constant(backend, size!)]);
}

/** Picks along an axis. TensorFlow checks every index; the package does before it, one by one. */
function gather({ inputs, backend, attrs }: Call): Info {
  const x = inputs["x"]!;
  const indices = inputs["indices"]!;
  const axis = tf.util.parseAxisParam(attrs["axis"] as number, x.shape)[0]!;
  const attributes = [
    { name: "batch_dims", type: backend.binding.TF_ATTR_INT, value: attrs["batchDims"] as number },
    typed(backend, "Tparams", x.dtype),
    typed(backend, "Tindices", indices.dtype),
    typed(backend, "Taxis", "int32"),
  ];
  return backend.executeSingleOutput("GatherV2", attributes, [x, indices, constant(backend, axis)]);
}

function addKernel(kernelName: string, kernel: Kernel): void {
  tf.registerKernel({ kernelName, backendName: "tensorflow", kernelFunc: kernel as unknown as tf.KernelFunc });
}

/** Puts a kernel in the place of the package's own, which it may call. */
function replaceKernel(kernelName: string, kernel: (call: Call, stock: Kernel) => Info): void {
  const stock = tf.getKernel(kernelName, "tensorflow").kernelFunc as unknown as Kernel;
  tf.unregisterKernel(kernelName, "tensorflow");
  addKernel(kernelName, (call) => kernel(call, stock));
}

/**
 * Makes operations of the `tensorflow` backend fewer and cheaper; called once, when it is loaded. Each costs 0.1 ms and more
 * beside its work, of tfjs-node's own making, and a block of a model has some 130.
 */
export function completeTensorflowKernels(): void {
  addKernel("SoftplusGrad", softplusGrad);
  replaceKernel("Cast", cast);
  replaceKernel("ClipByValue", clipByValue);
  replaceKernel("GatherV2", gather);
  replaceKernel("Reshape", reshape);
  replaceKernel("Slice", slice);
  if (hasSoftmax()) replaceKernel("Softmax", softmax);
  replaceKernel("Transpose", transpose);
}
