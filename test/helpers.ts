import * as tf from "@tensorflow/tfjs";
import { expect } from "vitest";
import type { Checkpoint } from "../lib/checkpoint/checkpoint.ts";
import type { ModelConfig, MoeConfig } from "../lib/config.ts";
import { MoeModel } from "../lib/model.ts";
import { paramShapes } from "../lib/params.ts";
import { relativeError } from "./relativeError.ts";

export { relativeError } from "./relativeError.ts";

/** A DBRX-shaped model small enough to follow by hand. */
export const TINY: ModelConfig & { mlp: MoeConfig } = {
  family: "dbrx",
  nLayers: 2,
  dModel: 16,
  nHeads: 4,
  nKvHeads: 2,
  dHead: 4,
  dVocab: 23,
  nCtx: 32,
  norm: "layerNorm",
  normEps: 1e-5,
  ropeBase: 500000,
  clipQkv: 8,
  mlp: {
    kind: "moe",
    nExperts: 5,
    topK: 2,
    dFf: 6,
    activation: "silu",
    gating: { kind: "softmaxThenTopK", normalize: 1 },
    loadBalanceWeight: 0.05,
  },
};

/** The same with a dense MLP in every block. */
export const TINY_DENSE: ModelConfig = { ...TINY, mlp: { kind: "dense", dFf: 9, activation: "silu" } };

/** The same with three blocks, of which the middle one is dense and wider than an expert. */
export const TINY_MIXED: ModelConfig & { mlp: MoeConfig } = {
  ...TINY,
  nLayers: 3,
  denseBlocks: { layers: [1], mlp: { kind: "dense", dFf: 9, activation: "silu" } },
};

/** GPT-2's kind: learned positions, biases everywhere, no gate. */
export const TINY_GPT2: ModelConfig = {
  ...TINY,
  family: "gpt2",
  nKvHeads: 4,
  ropeBase: null,
  learnedPositions: true,
  attentionBias: true,
  normBias: true,
  clipQkv: null,
  tiedEmbeddings: true,
  mlp: { kind: "dense", dFf: 9, activation: "geluTanh", ungated: true, bias: true },
};

/** The tiny model with latent attention, experts chosen by sigmoids within groups, and a shared one. */
export const TINY_LATENT: ModelConfig = {
  ...TINY,
  family: "deepseek_v3",
  nKvHeads: 4,
  clipQkv: null,
  latent: { qRank: 6, kvRank: 5, dRope: 2, dValue: 3, interleaved: true },
  mlp: {
    kind: "moe",
    nExperts: 6,
    topK: 2,
    dFf: 6,
    activation: "silu",
    gating: { kind: "sigmoid", nGroups: 3, topGroups: 2, normalize: true, scale: 2.5 },
    loadBalanceWeight: 0,
    dShared: 7,
  },
};

/** A small seeded generator of uniform numbers in [0, 1) (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Parameters of a model: matrices uniform with variance 1/fan-in (times `gain`²), norm gains in [0.5, 1.5). */
export function randomParams(config: ModelConfig, seed: number, gain = 1): Map<string, tf.Tensor> {
  const random = seeded(seed);
  const params = new Map<string, tf.Tensor>();
  for (const [name, shape] of paramShapes(config)) {
    const size = shape.reduce((a, b) => a * b, 1);
    const half = gain * Math.sqrt(3 / (name === "embed.W_E" ? 1 : shape.at(shape.length === 3 ? -1 : -2)!)); // experts: outputs first
    const draw = shape.length === 1 ? () => 0.5 + random() : () => (2 * random() - 1) * half;
    params.set(name, tf.tensor(Float32Array.from({ length: size }, draw), shape));
  }
  return params;
}

export function randomModel(config: ModelConfig = TINY, seed = 1, gain = 1): MoeModel {
  return new MoeModel(config, randomParams(config, seed, gain));
}

/** The one tensor comparison: same shape, and values within `tolerance` of the largest expected magnitude. */
export function expectClose(actual: tf.Tensor, expected: tf.Tensor, tolerance = 1e-5): void {
  expect(actual.shape).toEqual(expected.shape);
  expect(relativeError(actual.dataSync(), expected.dataSync())).toBeLessThanOrEqual(tolerance);
}

/** Runs `body` and expects it to leave as many tensors as it found. */
export function expectNoLeak(body: () => void): void {
  const before = tf.memory().numTensors;
  body();
  expect(tf.memory().numTensors).toBe(before);
}

/** Rows of token ids that a golden holds, [batch, pos]. */
export async function goldenRows(values: Checkpoint, name: string): Promise<number[][]> {
  const [batch, pos] = values.tensor(name).shape as [number, number];
  const flat = await values.readInt32(name);
  return Array.from({ length: batch }, (_, b) => [...flat.subarray(b * pos, (b + 1) * pos)]);
}

/** Expects a value to be the golden of the same name: whole numbers exactly, others within `tolerance`. */
export async function expectGolden(
  values: Checkpoint,
  name: string,
  actual: tf.Tensor,
  tolerance: number,
): Promise<void> {
  expect(actual.shape, name).toEqual(values.tensor(name).shape);
  if (actual.dtype === "int32") {
    expect([...actual.dataSync()], name).toEqual([...(await values.readInt32(name))]);
    return;
  }
  const expected = await values.readFloat32(name);
  // transformers masks with the most negative float, which has the same softmax as our −Infinity.
  if (name.endsWith("hook_attn_scores"))
    for (const [i, score] of expected.entries()) if (score < -1e30) expected[i] = Number.NEGATIVE_INFINITY;
  expect(relativeError(actual.dataSync(), expected), name).toBeLessThan(tolerance);
}
