import * as tf from "@tensorflow/tfjs";
import { type Hooks, hookName } from "../hooks.ts";

/**
 * Sends every token of a layer to the same experts; their weights are what the router's probabilities give them.
 * @param experts one for each slot, top_k of them
 * @throws ShapeError at the run where their number is not top_k, RangeError for one that does not exist
 */
export function forceExperts(layer: number, experts: readonly number[]): Hooks {
  return {
    [hookName(layer, "mlp.hook_expert_indices")]: (indices: tf.Tensor): tf.Tensor => {
      const [batch, pos] = indices.shape as [number, number, number];
      return tf.tile(tf.tensor3d([[[...experts]]], [1, 1, experts.length], "int32"), [batch, pos, 1]);
    },
  };
}
