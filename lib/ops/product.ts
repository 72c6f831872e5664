import * as tf from "@tensorflow/tfjs";

/**
 * x · W, with a weight that is asked for when the product comes to it. One that was made for it, as streamed weights are,
 * goes with it.
 * @param x [rows, in], or [batch, rows, in]
 * @param weight gives [in, out], or [batch, in, out]; the two turned where outputs stand first
 */
export function product<T extends tf.Tensor>(x: T, weight: () => T, outputsFirst = false): T {
  return tf.tidy(() => tf.matMul<T>(x, weight(), false, outputsFirst));
}
