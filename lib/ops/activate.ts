import * as tf from "@tensorflow/tfjs";
import type { Activation } from "../config.ts";

/** What the neurons of an MLP go through, value by value. */
export function activate(x: tf.Tensor, activation: Activation): tf.Tensor {
  switch (activation) {
    case "silu":
      return silu(x);
    case "gelu":
      return x.mul(0.5).mul(x.mul(Math.SQRT1_2).erf().add(1));
    case "geluSigmoid": // Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2, as the next one
      return x.mul(x.mul(1.702).sigmoid());
    case "geluTanh": // Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2
      return x.mul(0.5).mul(
        x
          .add(x.pow(3).mul(0.044715))
          .mul(Math.sqrt(2 / Math.PI))
          .tanh()
          .add(1),
      );
  }
}

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
