import * as tf from "@tensorflow/tfjs";
import { type HookFn, type Hooks, hookName } from "../hooks.ts";

/**
 * What stands for the experts that are taken out:
 * - `zero`: nothing; the other experts keep their weights, so less is added to the residual stream;
 * - `renormalize`: nothing, and the others' weights are scaled up to the sum that they had together;
 * - `reroute`: they cannot be chosen, so each token takes its next best expert.
 */
export type Ablation = "zero" | "renormalize" | "reroute";

/** Low enough that no softmax gives it anything, and finite, so that a sum with it is. */
const NEVER = -1e9;

/**
 * Takes experts out of a layer.
 * @throws RangeError for an expert that is no whole number from 0, or an unknown way
 * @see Michel et al. 2019, arXiv:1905.10650, section 2.3, for ablation by masking
 */
export function ablateExperts(layer: number, experts: readonly number[], how: Ablation): Hooks {
  for (const e of experts)
    if (!Number.isInteger(e) || e < 0)
      throw new RangeError(`ablateExperts: an expert must be a whole number from 0, got ${e}`);
  switch (how) {
    case "reroute":
      return { [hookName(layer, "mlp.hook_router_logits")]: forbid(experts) };
    case "zero":
    case "renormalize":
      return dropWeights(layer, new Set(experts), how === "renormalize");
    default:
      throw new RangeError(`ablateExperts: how must be zero, renormalize or reroute, got ${String(how)}`);
  }
}

function forbid(experts: readonly number[]): HookFn {
  return (logits) => {
    const nExperts = logits.shape.at(-1)!;
    const penalty = new Float32Array(nExperts);
    for (const e of experts) penalty[e] = NEVER;
    return logits.add(tf.tensor1d(penalty));
  };
}

/** The choice is seen first, then its weights: what the first hook reads, the second uses. */
function dropWeights(layer: number, dropped: ReadonlySet<number>, renormalize: boolean): Hooks {
  let kept: Float32Array;
  return {
    [hookName(layer, "mlp.hook_expert_indices")]: (indices: tf.Tensor): void => {
      kept = Float32Array.from(indices.dataSync(), (e) => (dropped.has(e) ? 0 : 1));
    },
    [hookName(layer, "mlp.hook_expert_weights")]: (weights: tf.Tensor): tf.Tensor => {
      const left = weights.mul(tf.tensor(kept, weights.shape));
      if (!renormalize) return left;
      // A token whose experts are all taken out has nothing left to scale.
      const sum = left.sum(-1, true);
      return left.mul(tf.divNoNan(weights.sum(-1, true), sum));
    },
  };
}
