import * as tf from "@tensorflow/tfjs";

type Info = tf.TensorInfo;

/** What these kernels use of tfjs-node's backend, whose own type is not exported. */
interface Backend {
  binding: { TF_ATTR_TYPE: number; TF_FLOAT: number };
  executeSingleOutput(operation: string, attributes: readonly Attribute[], inputs: readonly Info[]): Info;
  incRef(dataId: object): void;
}

interface Attribute {
  name: string;
  type: number;
  value: number;
}

interface Call {
  inputs: Record<string, Info>;
  backend: Backend;
  attrs: Record<string, unknown>;
}
type Kernel = (call: Call) => Info;

/** The same numbers once more, with no operation of TensorFlow's. */
function shared({ dataId, shape, dtype }: Info, backend: Backend): Info {
  backend.incRef(dataId);
  return { dataId, shape, dtype };
}

const floats = ({ binding }: Backend): Attribute[] => [
  { name: "T", type: binding.TF_ATTR_TYPE, value: binding.TF_FLOAT },
];

/** x / (exp(−x) + 1) in one pass; TensorFlow has no such operation, but the gradient of softplus, g / (exp(−x) + 1), is it. */
function silu({ inputs, backend }: Call): Info {
  const x = inputs["x"]!;
  return backend.executeSingleOutput("SoftplusGrad", floats(backend), [x, x]);
}

/** Cuts numbers at two limits. The package's own kernel makes two operations of it, and a pass over all numbers for each. */
function clipByValue(stock: Kernel, call: Call): Info {
  const { inputs, backend, attrs } = call;
  const x = inputs["x"]!;
  if (x.dtype !== "float32") return stock(call);
  return tf.tidy(() => {
    const limits = [attrs["clipValueMin"], attrs["clipValueMax"]].map((limit) => tf.scalar(limit as number));
    return backend.executeSingleOutput("ClipByValue", floats(backend), [x, ...limits]) as tf.Tensor;
  });
}

function replaceKernel(kernelName: string, kernel: (stock: Kernel, call: Call) => Info): void {
  const stock = tf.getKernel(kernelName, "tensorflow").kernelFunc as unknown as Kernel;
  tf.unregisterKernel(kernelName, "tensorflow");
  addKernel(kernelName, (call) => kernel(stock, call));
}

function addKernel(kernelName: string, kernel: Kernel): void {
  tf.registerKernel({ kernelName, backendName: "tensorflow", kernelFunc: kernel as unknown as tf.KernelFunc });
}

const sameShape = (x: Info, shape: readonly number[]): boolean =>
  x.shape.length === shape.length && x.shape.every((size, axis) => size === shape[axis]);

/**
 * Spares the `tensorflow` backend operations; called once, when it is loaded. Each takes 0.1 ms and more beside its work, of
 * tfjs-node's own making, and a block of a model has some 150: those that change nothing (a mean casts float32 to float32)
 * are none here.
 */
export function completeTensorflowKernels(): void {
  replaceKernel("Cast", (stock, call) =>
    call.inputs["x"]!.dtype === call.attrs["dtype"] ? shared(call.inputs["x"]!, call.backend) : stock(call),
  );
  replaceKernel("Reshape", (stock, call) =>
    sameShape(call.inputs["x"]!, call.attrs["shape"] as number[])
      ? shared(call.inputs["x"]!, call.backend)
      : stock(call),
  );
  replaceKernel("ClipByValue", clipByValue);
  addKernel("Silu", silu);
}
