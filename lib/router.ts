import * as tf from "@tensorflow/tfjs";
import type { Gating } from "./config.ts";

/** What watches the router on its way; a replaced value is the one that is used from there on. */
export interface RouterTaps {
  logits(value: tf.Tensor2D): tf.Tensor2D;
  probs(value: tf.Tensor2D): tf.Tensor2D;
  indices(value: tf.Tensor2D): tf.Tensor2D;
  weights(value: tf.Tensor2D): tf.Tensor2D;
}

/** The router's decision. */
export interface Routing {
  /** Router probabilities over all experts, [rows, n_experts]. */
  probs: tf.Tensor2D;
  /** Chosen experts, best first; equal probabilities: lower expert first. [rows, top_k] */
  indices: Int32Array;
  /** Weights as applied, [rows, top_k]. */
  weights: tf.Tensor2D;
}

/**
 * Chooses experts and weighs them.
 * The choice is read out here, the one place where the forward pass reads values: which rows go where decides the shapes
 * of all that follows. For the gradient it is a constant; the router learns through the weights.
 * @param rawLogits [rows, n_experts]
 * @throws RangeError for an expert that does not exist (only a hook can bring one in)
 * @see Shazeer et al. 2017, arXiv:1701.06538, eq. 3–5, for top-k gating
 */
export function route(rawLogits: tf.Tensor2D, topK: number, gating: Gating, taps: RouterTaps): Routing {
  const logits = taps.logits(rawLogits);
  const probs = taps.probs(tf.softmax(logits));
  const indices = taps.indices(tf.topk(probs, topK).indices).dataSync<"int32">();
  const nExperts = probs.shape[1];
  for (const e of indices)
    if (e < 0 || e >= nExperts) throw new RangeError(`route: an expert must be from 0 to ${nExperts - 1}, got ${e}`);
  return { probs, indices, weights: taps.weights(expertWeights(logits, probs, indices, gating)) };
}

function expertWeights(logits: tf.Tensor2D, probs: tf.Tensor2D, indices: Int32Array, gating: Gating): tf.Tensor2D {
  switch (gating.kind) {
    case "topKThenSoftmax":
      return tf.softmax(pick(logits, indices));
    case "softmaxThenTopK": {
      const chosen = pick(probs, indices);
      return gating.normalize === null ? chosen : chosen.div(pNorm(chosen, gating.normalize));
    }
  }
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
