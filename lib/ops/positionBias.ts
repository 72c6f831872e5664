import * as tf from "@tensorflow/tfjs";

/** How distances are put into buckets. */
export interface BucketOptions {
  nBuckets: number;
  /** Distances from here on share the last bucket. */
  maxDistance: number;
  /** Keys after the query have half of the buckets for their own; else they count as distance 0. */
  bidirectional: boolean;
}

/**
 * The bucket of a distance: half of a direction's buckets hold one distance each, the rest grow with its logarithm.
 * Rounded to float32 at each step, as the reference implementations compute it.
 * @param offset position of the key minus position of the query
 * @see Raffel et al. 2020, arXiv:1910.10683, section 2.1
 */
export function positionBucket(offset: number, { nBuckets, maxDistance, bidirectional }: BucketOptions): number {
  const count = bidirectional ? nBuckets >> 1 : nBuckets;
  const first = bidirectional && offset > 0 ? count : 0;
  const distance = bidirectional ? Math.abs(offset) : Math.max(0, -offset);
  const exact = count >> 1;
  if (distance < exact) return first + distance;
  const octaves = Math.fround(Math.log(Math.fround(distance / exact)));
  const share = Math.fround(octaves / Math.fround(Math.log(maxDistance / exact)));
  return first + Math.min(count - 1, exact + Math.trunc(Math.fround(share * (count - exact))));
}

/**
 * What the relative position of query and key adds to the scores of each head.
 * @param table [n_buckets, n_heads]
 * @returns [n_heads, q_pos, k_pos], both from position 0 on
 */
export function positionBias(table: tf.Tensor2D, length: number, options: BucketOptions): tf.Tensor3D {
  const buckets = new Int32Array(length * length);
  for (let q = 0; q < length; q++)
    for (let k = 0; k < length; k++) buckets[q * length + k] = positionBucket(k - q, options);
  return tf.tidy(() => {
    const byPair = tf.gather(table, tf.tensor1d(buckets, "int32")); // [q_pos*k_pos, n_heads]
    return byPair.transpose().reshape([table.shape[1], length, length]);
  });
}
