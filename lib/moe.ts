import * as tf from "@tensorflow/tfjs";
import type { MoeConfig } from "./config.ts";
import { dispatch, type ExpertWeights, runExperts } from "./experts.ts";
import { route } from "./router.ts";
import type { BlockTaps } from "./taps.ts";

/** The weights of one MoE layer. */
export interface MoeWeights {
  kind: "moe";
  config: MoeConfig;
  /** [d_model, n_experts] */
  router: tf.Tensor2D;
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
    const routing = route(tf.matMul(x, weights.router), topK, gating, {
      logits: (value) => taps.tap("mlp.hook_router_logits", value),
      probs: (value) => taps.tap("mlp.hook_router_probs", value),
      indices: (value) => taps.tap("mlp.hook_expert_indices", value),
      weights: (value) => taps.tap("mlp.hook_expert_weights", value),
    });
    const plan = dispatch(routing.indices, topK, nExperts);
    const outputs = runExperts(x, plan, weights.experts, taps);
    const bySlot = taps.tap("mlp.hook_expert_out", outputs.reshape<tf.Tensor3D>([-1, topK, x.shape[1]])); // [rows, top_k, d_model]
    return bySlot.mul(routing.weights.expandDims(-1)).sum<tf.Tensor2D>(1);
  });
}
