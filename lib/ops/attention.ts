import * as tf from "@tensorflow/tfjs";

/** Keys and values of one layer, already rotated: [batch, n_kv_heads, k_pos, d_head]; values may be of another width. */
export interface KeyValues {
  keys: tf.Tensor4D;
  values: tf.Tensor4D;
}

/** How products of queries and keys become scores. */
export interface ScoreOptions {
  /** Factor on the products. */
  scale: number;
  /** Scores are bent to within ±this before the mask: cap · tanh(score / cap); null: they are not. */
  softcap: number | null;
  /** [q_pos, k_pos] or [n_heads, q_pos, k_pos], added to the scores; null: nothing is masked. */
  mask: tf.Tensor2D | tf.Tensor3D | null;
  /** A score for each head, [n_heads], that takes part in its softmax and is then left out; absent: none. */
  sinks?: tf.Tensor1D | null;
}

/** What watches attention on its way; each gets and returns [batch, n_heads, q_pos, k_pos]. */
export interface AttentionTaps {
  scores(value: tf.Tensor4D): tf.Tensor4D;
  pattern(value: tf.Tensor4D): tf.Tensor4D;
}

/**
 * The additive causal mask of `length` queries that follow `past` keys: 0 where a query may look, −Infinity elsewhere.
 * @param window how many keys a query may look at, the last ones, its own among them
 * @returns [q_pos, k_pos], or null where nothing is masked (one query)
 */
export function causalMask(length: number, past: number, window = Number.POSITIVE_INFINITY): tf.Tensor2D | null {
  const width = past + length;
  if (length === 1 && width <= window) return null;
  const mask = new Float32Array(length * width);
  for (let q = 0; q < length; q++) {
    mask.fill(-Infinity, q * width + past + q + 1, (q + 1) * width);
    mask.fill(-Infinity, q * width, q * width + Math.max(0, past + q + 1 - window));
  }
  return tf.tensor2d(mask, [length, width]);
}

/**
 * Causal scaled dot-product attention with grouped key-value heads: query head h reads key-value head
 * floor(h / (n_heads / n_kv_heads)). The queries of one group stand below each other, so no key is ever repeated.
 * @param q [batch, q_pos, n_heads, d_head]
 * @returns z, [batch, q_pos, n_heads, d_head], or the values' own width in its place
 * @see Vaswani et al. 2017, arXiv:1706.03762, eq. 1; Ainslie et al. 2023, arXiv:2305.13245
 */
export function attention(
  q: tf.Tensor4D,
  { keys, values }: KeyValues,
  { scale, softcap, mask, sinks = null }: ScoreOptions,
  taps: AttentionTaps,
): tf.Tensor4D {
  return tf.tidy(() => {
    const [batch, qPos, nHeads, dHead] = q.shape;
    const [, nKvHeads, kPos] = keys.shape;
    const grouped: [number, number, number, number] = [batch, nKvHeads, (nHeads / nKvHeads) * qPos, dHead];
    const queries = q.mul(scale).transpose([0, 2, 1, 3]).reshape(grouped);
    const products = queries.matMul(keys, false, true).reshape<tf.Tensor4D>([batch, nHeads, qPos, kPos]);
    const bent = softcap === null ? products : products.div(softcap).tanh().mul<tf.Tensor4D>(softcap);
    const scores = taps.scores(mask === null ? bent : bent.add<tf.Tensor4D>(mask));
    const pattern = taps.pattern(sinks === null ? tf.softmax(scores) : softmaxWithSinks(scores, sinks));
    const z = pattern.reshape([batch, nKvHeads, grouped[2], kPos]).matMul(values);
    return z.reshape([batch, nHeads, qPos, -1]).transpose<tf.Tensor4D>([0, 2, 1, 3]);
  });
}

/**
 * Softmax over the keys and one score more for each head, whose share is then left out: rows sum to less than 1.
 * @see Xiao et al. 2023, arXiv:2309.17453, section 3.3
 */
function softmaxWithSinks(scores: tf.Tensor4D, sinks: tf.Tensor1D): tf.Tensor4D {
  const [batch, nHeads, qPos, kPos] = scores.shape;
  const column = tf.tile(sinks.reshape([1, nHeads, 1, 1]), [batch, 1, qPos, 1]);
  const shares = tf.softmax(tf.concat([scores, column as tf.Tensor4D], -1));
  return shares.slice([0, 0, 0, 0], [batch, nHeads, qPos, kPos]);
}
