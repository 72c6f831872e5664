import * as tf from "@tensorflow/tfjs";

/**
 * The gated activation of an expert: silu(gate) ⊙ up.
 * @see Shazeer 2020, arXiv:2002.05202, eq. 6
 */
export function swiglu<T extends tf.Tensor>(gate: T, up: T): T {
  return tf.tidy(() => gate.mul(gate.sigmoid()).mul<T>(up));
}
