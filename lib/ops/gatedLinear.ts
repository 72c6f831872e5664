import * as tf from "@tensorflow/tfjs";
import type { Activation } from "../config.ts";

/**
 * The gated activation of an expert: act(gate) ⊙ up. With silu it is SwiGLU, with GELU it is GEGLU.
 * @see Shazeer 2020, arXiv:2002.05202, eq. 6
 */
export function gatedLinear<T extends tf.Tensor>(gate: T, up: T, activation: Activation): T {
  return tf.tidy(() => activated(gate, activation).mul<T>(up));
}

function activated(x: tf.Tensor, activation: Activation): tf.Tensor {
  switch (activation) {
    case "silu":
      return x.mul(x.sigmoid());
    case "gelu":
      return x.mul(0.5).mul(x.mul(Math.SQRT1_2).erf().add(1));
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
