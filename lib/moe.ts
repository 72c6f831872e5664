import * as tf from "@tensorflow/tfjs";
import type { MoeConfig } from "./config.ts";
import { type DenseTaps, type DenseWeights, dense } from "./dense.ts";
import { dispatch } from "./dispatch.ts";
import { type ExpertWeights, runExperts } from "./experts.ts";
import { type RouterTaps, route } from "./router.ts";
import type { BlockTaps } from "./taps.ts";

/** The weights of one MoE layer. */
export interface MoeWeights {
  kind: "moe";
  config: MoeConfig;
  /** [d_model, n_experts] */
  router: tf.Tensor2D;
  /** Added to the router's logits, [n_experts]; null: none */
  routerBias: tf.Tensor1D | null;
  /** Added for the choice alone, [n_experts]; null: none */
  choiceBias: tf.Tensor1D | null;
  /** The shared expert; null: there is none */
  shared: DenseWeights | null;
  experts: ExpertWeights;
}

/**
 * A Mixture-of-Experts layer: route each token, run its experts, add their outputs up by weight. Dropless: an expert
 * takes every token that is routed to it.
 * @param x [rows, d_model]
 * @returns [rows, d_model]
 */
export function moe(x: tf.Tensor2D, weights: MoeWeights, taps: BlockTaps): tf.Tensor2D {
  return tf.tidy(() => {
    const { topK, nExperts, gating } = weights.config;
    const product = tf.matMul<tf.Tensor2D>(x, weights.router);
    const logits = weights.routerBias === null ? product : product.add<tf.Tensor2D>(weights.routerBias);
    const watch: RouterTaps = {
      logits: (value) => taps.tap("mlp.hook_router_logits", value),
      probs: (value) => taps.tap("mlp.hook_router_probs", value),
      indices: (value) => taps.tap("mlp.hook_expert_indices", value),
      weights: (value) => taps.tap("mlp.hook_expert_weights", value),
    };
    const routing = route(logits, topK, gating, watch, weights.choiceBias);
    const plan = dispatch(routing.indices, topK, nExperts);
    const outputs = runExperts(x, plan, weights.experts, taps);
    const bySlot = taps.tap("mlp.hook_expert_out", outputs.reshape<tf.Tensor3D>([-1, topK, x.shape[1]])); // [rows, top_k, d_model]
    // A product of matrices: it makes no weighted copy of the outputs, and its gradient three times as fast.
    const mixed = routing.weights.expandDims<tf.Tensor3D>(1).matMul(bySlot).reshape<tf.Tensor2D>(x.shape);
    return weights.shared === null ? mixed : mixed.add(sharedExpert(x, weights.shared, taps));
  });
}

/** The expert of every token, [rows, d_model] → [rows, d_model]: a dense MLP with hooks of its own. */
function sharedExpert(x: tf.Tensor2D, weights: DenseWeights, taps: BlockTaps): tf.Tensor2D {
  const own: DenseTaps = { tap: (hook, value) => taps.tap(SHARED_HOOKS[hook], value) };
  return taps.tap("mlp.shared.hook_out", dense(x, weights, own));
}

const SHARED_HOOKS = {
  "mlp.hook_pre": "mlp.shared.hook_pre",
  "mlp.hook_pre_linear": "mlp.shared.hook_pre_linear",
  "mlp.hook_post": "mlp.shared.hook_post",
} as const;
