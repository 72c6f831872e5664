import * as tf from "@tensorflow/tfjs";

/** Cosines and sines of a run of positions, each [pos, 1, d_head]; the two halves of d_head are equal. */
export interface RopeTables {
  cos: tf.Tensor3D;
  sin: tf.Tensor3D;
}

/**
 * Rotation tables of positions `start … start + length - 1`: angle = position · base^(−2j / d_head).
 * Angles are rounded to float32 at each step, as the reference implementations compute them.
 * @see Su et al. 2021, arXiv:2104.09864, eq. 15
 */
export function ropeTables(start: number, length: number, dHead: number, base: number): RopeTables {
  const half = dHead / 2;
  const cos = new Float32Array(length * dHead);
  const sin = new Float32Array(length * dHead);
  for (let j = 0; j < half; j++) {
    const frequency = Math.fround(1 / Math.fround(base ** ((2 * j) / dHead)));
    for (let p = 0; p < length; p++) {
      const angle = Math.fround((start + p) * frequency);
      const at = p * dHead + j;
      cos[at] = cos[at + half] = Math.cos(angle);
      sin[at] = sin[at + half] = Math.sin(angle);
    }
  }
  return { cos: tf.tensor3d(cos, [length, 1, dHead]), sin: tf.tensor3d(sin, [length, 1, dHead]) };
}

/**
 * Rotary position embedding in the half-rotate form: pairs are (x_j, x_{j + d_head/2}).
 * @param x [batch, pos, heads, d_head]
 * @returns the same shape
 */
export function rope(x: tf.Tensor4D, { cos, sin }: RopeTables): tf.Tensor4D {
  return tf.tidy(() => {
    const [first, second] = tf.split(x, 2, -1) as [tf.Tensor4D, tf.Tensor4D];
    const turned = tf.concat([second.neg(), first], -1);
    return x.mul(cos).add<tf.Tensor4D>(turned.mul(sin));
  });
}
