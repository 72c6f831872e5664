import * as tf from "@tensorflow/tfjs";
import type { Activation } from "../config.ts";

/** What activations are made of: operations on tensors, or nodes of a graph. */
export interface Arithmetic<V> {
  plus(a: V, b: V | number): V;
  times(a: V, b: V | number): V;
  erf(x: V): V;
  sigmoid(x: V): V;
  silu(x: V): V;
  tanh(x: V): V;
  /** x, or the limit where x is more. */
  atMost(x: V, limit: number): V;
  /** x, cut at ±limit. */
  within(x: V, limit: number): V;
}

/** What the neurons of an MLP go through, value by value. */
export function activate<V>(x: V, activation: Activation, on: Arithmetic<V>): V {
  switch (activation) {
    case "silu":
      return on.silu(x);
    case "gelu":
      return on.times(on.times(x, 0.5), on.plus(on.erf(on.times(x, Math.SQRT1_2)), 1));
    case "geluSigmoid": // Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2, as the next one
      return on.times(x, on.sigmoid(on.times(x, 1.702)));
    case "geluTanh": {
      const cubed = on.times(on.times(x, x), x);
      const bent = on.times(on.plus(x, on.times(cubed, 0.044715)), Math.sqrt(2 / Math.PI));
      return on.times(on.times(x, 0.5), on.plus(on.tanh(bent), 1));
    }
  }
}

/** On tensors, with gradients. */
export const onTensors: Arithmetic<tf.Tensor> = {
  plus: (a, b) => tf.add(a, b),
  times: (a, b) => tf.mul(a, b),
  erf: (x) => tf.erf(x),
  sigmoid: (x) => tf.sigmoid(x),
  silu,
  tanh: (x) => tf.tanh(x),
  atMost: (x, limit) => tf.minimum(x, limit),
  within: (x, limit) => tf.clipByValue(x, -limit, limit),
};

/**
 * x · sigmoid(x), and its gradient (1 + x − y) · sigmoid(x), y being the value.
 * @see Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2, where it is named SiLU
 */
function silu(x: tf.Tensor): tf.Tensor {
  const op = tf.customGrad((input, save) => {
    const at = input as tf.Tensor;
    const value = timesSigmoid(at, at);
    (save as tf.GradSaveFunc)([at, value]);
    const gradFunc = (above: tf.Tensor, [from, y]: tf.Tensor[]): tf.Tensor =>
      timesSigmoid(above.mul(from!.sub(y!).add(1)), from!);
    return { value, gradFunc };
  });
  return op(x);
}

/** factor · sigmoid(x): in one pass where the backend has the gradient of softplus, which it is (`tensorflow`). */
function timesSigmoid(factor: tf.Tensor, x: tf.Tensor): tf.Tensor {
  if (tf.getKernel("SoftplusGrad", tf.getBackend()) === undefined) return factor.mul(x.sigmoid());
  return tf.engine().runKernel("SoftplusGrad", { gradients: factor, features: x });
}
