import * as tf from "@tensorflow/tfjs";
import type { Gating, SigmoidGating } from "./config.ts";

/** What watches the router on its way; a replaced value is the one that is used from there on. */
export interface RouterTaps {
  logits(value: tf.Tensor2D): tf.Tensor2D;
  probs(value: tf.Tensor2D): tf.Tensor2D;
  indices(value: tf.Tensor2D): tf.Tensor2D;
  weights(value: tf.Tensor2D): tf.Tensor2D;
}

/** The router's decision. */
export interface Routing {
  /** Router probabilities over all experts, or sigmoids of the logits, [rows, n_experts]. */
  probs: tf.Tensor2D;
  /** Chosen experts, best first; equally good: lower expert first. [rows, top_k] */
  indices: Int32Array;
  /** Weights as applied, [rows, top_k]. */
  weights: tf.Tensor2D;
}

/**
 * Chooses experts and weighs them.
 * The choice is read out here, the one place where the forward pass reads values: which rows go where decides the shapes
 * of all that follows. For the gradient it is a constant; the router learns through the weights.
 * @param rawLogits [rows, n_experts]
 * @param choiceBias added to the sigmoids for the choice alone, [n_experts]; null: none
 * @throws RangeError for an expert that does not exist (only a hook can bring one in)
 * @see Shazeer et al. 2017, arXiv:1701.06538, eq. 3–5, for top-k gating
 */
export function route(
  rawLogits: tf.Tensor2D,
  topK: number,
  gating: Gating,
  taps: RouterTaps,
  choiceBias: tf.Tensor1D | null = null,
): Routing {
  const logits = taps.logits(rawLogits);
  const probs = taps.probs(gating.kind === "sigmoid" ? logits.sigmoid() : tf.softmax(logits));
  const merit = gating.kind === "sigmoid" ? ofBestGroups(probs, choiceBias, gating) : probs;
  const indices = taps.indices(tf.topk(merit, topK).indices).dataSync<"int32">();
  const nExperts = probs.shape[1];
  for (const e of indices)
    if (e < 0 || e >= nExperts) throw new RangeError(`route: an expert must be from 0 to ${nExperts - 1}, got ${e}`);
  return { probs, indices, weights: taps.weights(expertWeights(logits, probs, indices, gating)) };
}

function expertWeights(logits: tf.Tensor2D, probs: tf.Tensor2D, indices: Int32Array, gating: Gating): tf.Tensor2D {
  switch (gating.kind) {
    case "topKThenSoftmax":
      return tf.softmax(pick(logits, indices));
    case "sigmoid": {
      const chosen = pick(probs, indices);
      const shares = gating.normalize ? chosen.div<tf.Tensor2D>(chosen.sum(-1, true).add(1e-20)) : chosen;
      return shares.mul(gating.scale);
    }
    case "softmaxThenTopK": {
      const chosen = pick(probs, indices);
      return gating.normalize === null ? chosen : chosen.div(pNorm(chosen, gating.normalize));
    }
  }
}

/** What experts are chosen by: sigmoid and bias, and −Infinity outside the best groups. [rows, n_experts] */
function ofBestGroups(
  probs: tf.Tensor2D,
  choiceBias: tf.Tensor1D | null,
  { nGroups, topGroups }: SigmoidGating,
): tf.Tensor2D {
  return tf.tidy(() => {
    const merit = choiceBias === null ? probs : probs.add<tf.Tensor2D>(choiceBias);
    if (topGroups === nGroups) return merit;
    const [rows, nExperts] = merit.shape;
    const groups = merit.reshape([rows, nGroups, nExperts / nGroups]);
    const best = tf.topk(tf.topk(groups, 2).values.sum(-1), topGroups).indices; // [rows, topGroups]
    const stays = tf
      .oneHot(best as tf.Tensor2D, nGroups)
      .max(1)
      .cast("bool"); // [rows, nGroups]
    const masked = tf.where(stays.expandDims(-1).tile([1, 1, nExperts / nGroups]), groups, -Infinity);
    return masked.reshape([rows, nExperts]);
  });
}

/** ‖row‖_p of each row of positive numbers, [rows, 1]. */
function pNorm(x: tf.Tensor2D, p: number): tf.Tensor2D {
  if (p === 1) return x.sum(-1, true);
  return x
    .pow(p)
    .sum(-1, true)
    .pow<tf.Tensor2D>(1 / p);
}

/** The values at the chosen places: out[r, j] = values[r, indices[r, j]], [rows, top_k]. */
function pick(values: tf.Tensor2D, indices: Int32Array): tf.Tensor2D {
  const [rows, width] = values.shape;
  const topK = indices.length / rows;
  const places = indices.map((e, a) => Math.floor(a / topK) * width + e);
  return tf.gather(values.reshape([-1]), tf.tensor1d(places, "int32")).reshape([rows, topK]);
}
