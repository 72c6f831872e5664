import * as tf from "@tensorflow/tfjs";

/**
 * Root-mean-square normalisation over the last axis.
 * @param x [rows, d_model], or more axes before the last
 * @param gain [d_model]
 * @param tapScale sees the scale, sqrt(mean square + eps), [rows, 1], before it divides; null: nobody looks
 * @returns x / scale · gain, the shape of x
 * @see Zhang and Sennrich 2019, arXiv:1910.07467, eq. 4
 */
export function rmsNorm<T extends tf.Tensor>(
  x: T,
  gain: tf.Tensor1D,
  eps: number,
  tapScale: ((scale: T) => T) | null,
): T {
  return tf.tidy(() => {
    const scale = tf.tidy(() => tf.sqrt(x.square().mean(-1, true).add<T>(eps)));
    return x.div(tapScale === null ? scale : tapScale(scale)).mul<T>(gain);
  });
}
