import * as tf from "@tensorflow/tfjs";

/** Cosines and sines of a run of positions for a number of heads, each [1, pos*heads*d_head]. */
export interface RopeTables {
  cos: tf.Tensor2D;
  sin: tf.Tensor2D;
}

/**
 * Rotation tables of positions `start … start + length - 1`: angle = position · base^(−2j / d_head), the same for the two
 * halves of d_head and for every head. They are written out for every head because a product that broadcasts over one
 * outer axis is several times faster than one that broadcasts over an inner axis too.
 * Angles are rounded to float32 at each step, as the reference implementations compute them.
 * @see Su et al. 2021, arXiv:2104.09864, eq. 15
 */
export function ropeTables(start: number, length: number, heads: number, dHead: number, base: number): RopeTables {
  const half = dHead / 2;
  const width = heads * dHead;
  const cos = new Float32Array(length * width);
  const sin = new Float32Array(length * width);
  const frequencies = Float32Array.from({ length: half }, (_, j) => 1 / Math.fround(base ** ((2 * j) / dHead)));
  for (let p = 0; p < length; p++) {
    for (let j = 0; j < half; j++) {
      const angle = Math.fround((start + p) * frequencies[j]!);
      const at = p * width + j;
      cos[at] = cos[at + half] = Math.cos(angle);
      sin[at] = sin[at + half] = Math.sin(angle);
    }
    for (let h = 1; h < heads; h++) {
      cos.copyWithin(p * width + h * dHead, p * width, p * width + dHead);
      sin.copyWithin(p * width + h * dHead, p * width, p * width + dHead);
    }
  }
  return { cos: tf.tensor2d(cos, [1, length * width]), sin: tf.tensor2d(sin, [1, length * width]) };
}

/**
 * Rotary position embedding in the half-rotate form: pairs are (x_j, x_{j + d_head/2}).
 * @param x [batch, pos, heads, d_head]
 * @returns the same shape
 */
export function rope(x: tf.Tensor4D, { cos, sin }: RopeTables): tf.Tensor4D {
  return tf.tidy(() => {
    const flat: [number, number] = [x.shape[0], cos.shape[1]];
    const [first, second] = tf.split(x, 2, -1) as [tf.Tensor4D, tf.Tensor4D];
    const turned = tf.concat([second.neg(), first], -1).reshape(flat);
    return x.reshape(flat).mul(cos).add(turned.mul(sin)).reshape<tf.Tensor4D>(x.shape);
  });
}
