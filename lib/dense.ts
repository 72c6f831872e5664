import * as tf from "@tensorflow/tfjs";
import type { Activation } from "./config.ts";
import { gatedLinear } from "./ops/gatedLinear.ts";
import { product } from "./ops/product.ts";
import type { BlockTaps } from "./taps.ts";

/** The weights of a dense MLP; x·W, so the input axis comes first. */
export interface DenseWeights {
  kind: "dense";
  activation: Activation;
  /** [d_model, d_ff] */
  gate: tf.Tensor2D;
  /** [d_model, d_ff] */
  up: tf.Tensor2D;
  /** [d_ff, d_model] */
  down: tf.Tensor2D;
}

/**
 * A dense MLP: one gated linear unit for every token.
 * @param x [rows, d_model]
 * @returns [rows, d_model]
 */
export function dense(x: tf.Tensor2D, weights: DenseWeights, taps: Pick<BlockTaps, "tap">): tf.Tensor2D {
  return tf.tidy(() => {
    const pre = taps.tap(
      "mlp.hook_pre",
      product(x, () => weights.gate),
    ); // [rows, d_ff]
    const linear = taps.tap(
      "mlp.hook_pre_linear",
      product(x, () => weights.up),
    );
    const post = taps.tap("mlp.hook_post", gatedLinear(pre, linear, weights.activation));
    return product(post, () => weights.down); // [rows, d_model]
  });
}
