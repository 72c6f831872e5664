import * as tf from "@tensorflow/tfjs";

/**
 * Layer normalisation with a gain and no bias, the norm of DBRX.
 * @param x [rows, d_model]
 * @param gain [d_model]
 * @param tapScale sees the scale, sqrt(variance + eps), [rows, 1], before it divides
 * @returns (x − mean) / scale · gain, [rows, d_model]
 * @see Ba et al. 2016, arXiv:1607.06450, eq. 4
 */
export function layerNorm(
  x: tf.Tensor2D,
  gain: tf.Tensor1D,
  eps: number,
  tapScale: (scale: tf.Tensor2D) => tf.Tensor2D,
): tf.Tensor2D {
  return tf.tidy(() => {
    const centred = x.sub(x.mean(-1, true));
    const variance = centred.square().mean(-1, true); // [rows, 1]
    const scale = tapScale(tf.sqrt(variance.add<tf.Tensor2D>(eps)));
    return centred.div(scale).mul<tf.Tensor2D>(gain);
  });
}
