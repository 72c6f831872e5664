import * as tf from "@tensorflow/tfjs";
import { ShapeError } from "../errors.ts";
import { type HookFn, type Hooks, hookName } from "../hooks.ts";

/**
 * What stands for the experts that are taken out:
 * - `zero`: nothing; the other experts keep their weights, so less is added to the residual stream;
 * - `mean`: their mean output over some texts, whatever the token, with the weight that the router gives;
 * - `renormalize`: nothing, and the others' weights are scaled up to the sum that they had together;
 * - `reroute`: they cannot be chosen, so each token takes its next best expert.
 */
export type Ablation = "zero" | "mean" | "renormalize" | "reroute";
export const ABLATIONS: readonly Ablation[] = ["zero", "mean", "renormalize", "reroute"];

/** The mean output of each expert of one layer, before weighting. */
export interface ExpertMeans {
  nExperts: number;
  /** [n_experts, d_model]; NaN for an expert whose mean is not known. */
  values: Float32Array;
}

/** Low enough that no softmax gives it anything, and finite, so that a sum with it is. */
const NEVER = -1e9;

/**
 * Takes experts out of a layer.
 * @param means what stands for them where `how` is "mean", as `expertMeans` gives
 * @throws RangeError for an expert that is no whole number from 0, an unknown way, or a mean that is not known
 * @see Michel et al. 2019, arXiv:1905.10650, section 2.3, for ablation by masking; Wang et al. 2022, arXiv:2211.00593,
 * section 2.1, for ablation by the mean
 */
export function ablateExperts(layer: number, experts: readonly number[], how: Ablation, means?: ExpertMeans): Hooks {
  for (const e of experts)
    if (!Number.isInteger(e) || e < 0)
      throw new RangeError(`ablateExperts: an expert must be a whole number from 0, got ${e}`);
  switch (how) {
    case "reroute":
      return { [hookName(layer, "mlp.hook_router_logits")]: forbid(experts) };
    case "zero":
    case "renormalize":
      return dropWeights(layer, new Set(experts), how === "renormalize");
    case "mean":
      return putMeans(layer, experts, means);
    default:
      throw new RangeError(`ablateExperts: how must be zero, mean, renormalize or reroute, got ${String(how)}`);
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

/** The choice is seen first, then the outputs: those of the experts taken out give way to their means. */
function putMeans(layer: number, experts: readonly number[], means: ExpertMeans | undefined): Hooks {
  if (means === undefined) throw new RangeError('ablateExperts: means must be given for how "mean", got none');
  const dModel = means.values.length / means.nExperts;
  const unknown = experts.find((e) => e >= means.nExperts || Number.isNaN(means.values[e * dModel]!));
  if (unknown !== undefined)
    throw new RangeError(`ablateExperts: means must hold a mean of expert ${unknown}, got none: no token reached it`);
  const removed = new Set(experts);
  let indices: Int32Array;
  return {
    [hookName(layer, "mlp.hook_expert_indices")]: (chosen: tf.Tensor): void => {
      indices = chosen.dataSync<"int32">();
    },
    [hookName(layer, "mlp.hook_expert_out")]: (outputs: tf.Tensor): tf.Tensor => {
      if (outputs.shape.at(-1) !== dModel)
        throw new ShapeError(
          `ablateExperts: means must be [n_experts, d_model] with d_model ${outputs.shape.at(-1)}, got ${dModel}`,
        );
      const mask = tf.tensor(
        Uint8Array.from(indices, (e) => Number(removed.has(e))),
        [indices.length, 1],
        "bool",
      );
      const stack = tf.tensor2d(
        means.values.map((value) => (Number.isNaN(value) ? 0 : value)),
        [means.nExperts, dModel],
      );
      const rows = tf.gather(stack, tf.tensor1d(indices, "int32"));
      return tf.where(mask, rows, outputs.reshape<tf.Tensor2D>([-1, dModel])).reshape(outputs.shape);
    },
  };
}
