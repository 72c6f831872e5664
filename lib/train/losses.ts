import * as tf from "@tensorflow/tfjs";

/** A token less likely than this counts as this likely: the smallest normal float32. */
const SMALLEST_PROBABILITY = 2 ** -126;

/**
 * Mean cross-entropy of the next token, in nats.
 * @param logits [rows, d_vocab]
 * @param labels the token that follows each row, [rows]
 * @returns a scalar
 */
export function crossEntropy(logits: tf.Tensor2D, labels: Int32Array): tf.Scalar {
  const [rows, dVocab] = logits.shape;
  // The gradient, (softmax − one-hot) / rows, is written out: tfjs's own chain would pass over [rows, d_vocab] twice as often.
  const op = tf.customGrad((x, save) => {
    const probs = tf.softmax(x as tf.Tensor2D);
    (save as tf.GradSaveFunc)([probs]);
    const places = labels.map((label, r) => r * dVocab + label);
    const chosen = tf.gather(probs.reshape([-1]), tf.tensor1d(places, "int32"));
    const value: tf.Scalar = chosen.maximum(SMALLEST_PROBABILITY).log().mean<tf.Scalar>().neg();
    const gradFunc = (dy: tf.Scalar, saved: tf.Tensor[]): tf.Tensor => {
      const oneHot = tf.oneHot(tf.tensor1d(labels, "int32"), dVocab, 1, 0, "float32");
      return saved[0]!.sub(oneHot).mul(dy.div(rows));
    };
    return { value, gradFunc };
  });
  return op(logits);
}

/** The routing of one layer, as the auxiliary losses need it. */
export interface LayerRouting {
  /** [rows, n_experts] */
  logits: tf.Tensor2D;
  /** Assignments of each expert, [n_experts]; a constant for the gradient. */
  counts: ArrayLike<number>;
}

/**
 * Load-balancing loss as MegaBlocks computes it, the one that DBRX was trained with: a product per layer,
 * E / (L·T·k) · Σ_l Σ_e n_{l,e} · mean_t p_{l,t,e}. Perfect balance gives 1.
 * @see Fedus et al. 2021, arXiv:2101.03961, eq. 4, extended to top-k and averaged over layers
 */
export function loadBalancingLossMegaBlocks(layers: readonly LayerRouting[], topK: number): tf.Scalar {
  return tf.tidy(() => {
    const terms = layers.map(({ logits, counts }) => {
      const [rows, nExperts] = logits.shape;
      const share = Float32Array.from(counts, (n) => (n * nExperts) / (rows * topK * layers.length));
      return tf.softmax(logits).mean<tf.Tensor1D>(0).mul(tf.tensor1d(share)).sum<tf.Scalar>();
    });
    return tf.addN(terms);
  });
}

/**
 * Load-balancing loss as Hugging Face transformers computes it: layers are pooled before the product,
 * E · Σ_e f_e · P_e with f_e the assignments per row (they sum to k). Perfect balance gives k, and imbalances of
 * different layers can cancel.
 */
export function loadBalancingLossHuggingFace(layers: readonly LayerRouting[]): tf.Scalar {
  return tf.tidy(() => {
    const nExperts = layers[0]!.logits.shape[1];
    const rows = layers.reduce((sum, { logits }) => sum + logits.shape[0], 0);
    const perRow = new Float32Array(nExperts);
    for (const { counts } of layers) for (let e = 0; e < nExperts; e++) perRow[e]! += counts[e]! / rows;
    const probs = tf.addN(layers.map(({ logits }) => tf.softmax(logits).sum<tf.Tensor1D>(0))).div<tf.Tensor1D>(rows);
    return probs.mul(tf.tensor1d(perRow)).sum().mul<tf.Scalar>(nExperts);
  });
}

/**
 * Router z-loss: the mean over tokens and layers of the squared log-sum-exp of the router logits.
 * @see Zoph et al. 2022, arXiv:2202.08906, eq. 5
 */
export function routerZLoss(layers: readonly LayerRouting[]): tf.Scalar {
  return tf.tidy(() => {
    const terms = layers.map(({ logits }) => tf.logSumExp(logits, -1).square().mean<tf.Scalar>());
    return tf.addN(terms).div<tf.Scalar>(layers.length);
  });
}
