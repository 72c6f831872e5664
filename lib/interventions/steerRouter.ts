import * as tf from "@tensorflow/tfjs";
import { ShapeError } from "../errors.ts";
import { type Hooks, hookName } from "../hooks.ts";

/**
 * Pushes a layer's router towards some experts and away from others: adds strength · direction to its logits.
 * @param direction one number an expert, such as `activationRateDifference` gives
 * @throws ShapeError at the run where direction has another length than the layer has experts
 */
export function steerRouter(layer: number, direction: ArrayLike<number>, strength: number): Hooks {
  return {
    [hookName(layer, "mlp.hook_router_logits")]: (logits: tf.Tensor): tf.Tensor => {
      const nExperts = logits.shape.at(-1)!;
      if (direction.length !== nExperts)
        throw new ShapeError(`steerRouter: direction must be [n_experts] = [${nExperts}], got [${direction.length}]`);
      return logits.add(tf.tensor1d(Float32Array.from(direction, (d) => d * strength)));
    },
  };
}
