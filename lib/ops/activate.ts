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
 * x · sigmoid(x), in one pass where the backend has it (`tensorflow`).
 * @see Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2, where it is named SiLU
 */
function silu(x: tf.Tensor): tf.Tensor {
  const op = tf.customGrad((input, save) => {
    const at = input as tf.Tensor;
    const fused = tf.getKernel("Silu", tf.getBackend()) !== undefined;
    const value = fused ? tf.engine().runKernel<tf.Tensor>("Silu", { x: at }) : at.mul<tf.Tensor>(at.sigmoid());
    (save as tf.GradSaveFunc)([at, value]);
    return { value, gradFunc: siluGradient };
  });
  return op(x);
}

/** σ + y (1 − σ), with y = x · σ, times what comes from above. */
function siluGradient(above: tf.Tensor, [x, y]: tf.Tensor[]): tf.Tensor {
  const sigmoid = x!.sigmoid();
  return above.mul(y!.mul(tf.scalar(1).sub(sigmoid)).add(sigmoid));
}
