import * as tf from "@tensorflow/tfjs";

/**
 * x · sigmoid(x), in one pass where the backend has it (`tensorflow`).
 * @see Hendrycks and Gimpel 2016, arXiv:1606.08415, section 2, where it is named SiLU
 */
export function silu<T extends tf.Tensor>(x: T): T {
  const op = tf.customGrad((input, save) => {
    const value = forward(input as tf.Tensor);
    (save as tf.GradSaveFunc)([input as tf.Tensor, value]);
    // σ + y (1 − σ), with y = x · σ
    const gradFunc = (g: tf.Tensor, [at, y]: tf.Tensor[]): tf.Tensor => {
      const sigmoid = at!.sigmoid();
      return g.mul(y!.mul(tf.scalar(1).sub(sigmoid)).add(sigmoid));
    };
    return { value, gradFunc };
  });
  return op(x) as T;
}

function forward(x: tf.Tensor): tf.Tensor {
  if (tf.getKernel("Silu", tf.getBackend()) === undefined) return x.mul(x.sigmoid());
  return tf.engine().runKernel("Silu", { x });
}
