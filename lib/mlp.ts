import type * as tf from "@tensorflow/tfjs";
import { type DenseWeights, dense } from "./dense.ts";
import { type MoeWeights, moe } from "./moe.ts";
import type { BlockTaps } from "./taps.ts";

/** The weights of a block's MLP; which kind it is was settled when they were put together. */
export type MlpWeights = MoeWeights | DenseWeights;

/**
 * The MLP of a block.
 * @param x [rows, d_model]
 * @returns [rows, d_model]
 */
export function mlp(x: tf.Tensor2D, weights: MlpWeights, taps: BlockTaps): tf.Tensor2D {
  return weights.kind === "moe" ? moe(x, weights, taps) : dense(x, weights, taps);
}
