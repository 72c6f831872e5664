import * as tf from "@tensorflow/tfjs";
import type { YarnConfig } from "../config.ts";

/** Cosines and sines of a run of positions, each [pos, 2, d_head / 2]; the sines of the first half of d_head are negative. */
export interface RopeTables {
  cos: tf.Tensor3D;
  sin: tf.Tensor3D;
}

/**
 * Rotation tables of positions `start … start + length - 1`: angle = position · base^(−2j / d_head), the same for the two
 * halves of d_head and for every head.
 * Angles are rounded to float32 at each step, as the reference implementations compute them.
 * @see Su et al. 2021, arXiv:2104.09864, eq. 15
 */
export function ropeTables(start: number, length: number, dHead: number, base: number, yarn?: YarnConfig): RopeTables {
  const half = dHead / 2;
  const cos = new Float32Array(length * dHead);
  const sin = new Float32Array(length * dHead);
  const frequencies = yarn === undefined ? ropeFrequencies(dHead, base) : yarnFrequencies(dHead, base, yarn);
  const amplitude = yarn === undefined ? 1 : Math.fround(yarnAmplitude(yarn));
  for (let p = 0; p < length; p++) {
    for (let j = 0; j < half; j++) {
      const angle = Math.fround((start + p) * frequencies[j]!);
      const at = p * dHead + j;
      cos[at] = cos[at + half] = amplitude * Math.fround(Math.cos(angle));
      sin[at + half] = amplitude * Math.fround(Math.sin(angle));
      sin[at] = -sin[at + half]!;
    }
  }
  const shape: [number, number, number] = [length, 2, half];
  return { cos: tf.tensor3d(cos, shape), sin: tf.tensor3d(sin, shape) };
}

/** How fast each pair turns, in radians a position, [d_head / 2]. */
function ropeFrequencies(dHead: number, base: number): Float32Array {
  return Float32Array.from({ length: dHead / 2 }, (_, j) => 1 / Math.fround(base ** ((2 * j) / dHead)));
}

/** The same under YaRN: between the two limits the slowed-down and the former frequency are mixed. */
function yarnFrequencies(dHead: number, base: number, yarn: YarnConfig): Float32Array {
  const { factor, originalCtx, betaFast, betaSlow, truncate } = yarn;
  const pairWithTurns = (turns: number): number =>
    (dHead * Math.log(originalCtx / (turns * 2 * Math.PI))) / (2 * Math.log(base));
  const [fast, slow] = [pairWithTurns(betaFast), pairWithTurns(betaSlow)];
  const low = Math.max(0, truncate ? Math.floor(fast) : fast);
  const high = Math.min(dHead - 1, truncate ? Math.ceil(slow) : slow);
  const width = Math.fround((low === high ? high + 0.001 : high) - low);
  return ropeFrequencies(dHead, base).map((_, j) => {
    const turnTime = Math.fround(base ** ((2 * j) / dHead));
    const ramp = Math.min(1, Math.max(0, Math.fround(Math.fround(j - Math.fround(low)) / width)));
    const kept = Math.fround(1 - ramp);
    const slowed = Math.fround(1 / Math.fround(factor * turnTime));
    return Math.fround(slowed * Math.fround(1 - kept)) + Math.fround(Math.fround(1 / turnTime) * kept);
  });
}

const magnitude = (factor: number, mscale: number): number => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1);

/** What cosines and sines are multiplied by under YaRN. */
export function yarnAmplitude({ factor, mscale, mscaleAllDim }: YarnConfig): number {
  if (mscale === null || mscaleAllDim === null) return magnitude(factor, 1);
  return magnitude(factor, mscale) / magnitude(factor, mscaleAllDim);
}

/** What scores are multiplied by, beside their usual factor, under YaRN. */
export function yarnScoreFactor({ factor, mscaleAllDim }: YarnConfig): number {
  return mscaleAllDim === null ? 1 : magnitude(factor, mscaleAllDim) ** 2;
}

/** Puts the first of each pair that lies side by side into the first half of the last axis, the other into the second. */
export function apart(x: tf.Tensor4D): tf.Tensor4D {
  const width = x.shape[3];
  return x
    .reshape([-1, width / 2, 2])
    .transpose([0, 2, 1])
    .reshape(x.shape);
}

/**
 * Rotary position embedding in the half-rotate form: pairs are (x_j, x_{j + d_head/2}). Heads stand before positions, so that
 * the tables spread over one outer axis alone: that is several times faster than over an inner one too.
 * @param x [batch, heads, pos, d_head]
 * @returns the same shape
 */
export function rope(x: tf.Tensor4D, { cos, sin }: RopeTables): tf.Tensor4D {
  return tf.tidy(() => {
    const halves = x.reshape<tf.Tensor4D>([-1, ...cos.shape]);
    const swapped = tf.tidy(() => halves.reverse(2).mul(sin));
    return halves.mul(cos).add(swapped).reshape<tf.Tensor4D>(x.shape);
  });
}
