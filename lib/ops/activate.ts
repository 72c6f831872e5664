import type * as tf from "@tensorflow/tfjs";
import type { Activation } from "../config.ts";
import { silu } from "./silu.ts";

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
