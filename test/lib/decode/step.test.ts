import * as tf from "@tensorflow/tfjs";
import { beforeAll, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import type { ModelConfig, MoeConfig } from "../../../lib/config.ts";
import { Sequence } from "../../../lib/decode/sequence.ts";
import { Stepper } from "../../../lib/decode/step.ts";
import { randomModel, relativeError, TINY } from "../../helpers.ts";

beforeAll(async () => {
  await useBackend();
});

/** Largest relative difference of a step's logits from those of the full pass, over a sequence. */
function worst(config: ModelConfig, tokens: number[], gain = 1.5): number {
  const model = randomModel(config, 7, gain);
  const stepper = new Stepper(config, model.params);
  const full = model.run(tokens);
  const expected = full.arraySync()[0]!;
  const sequence = new Sequence(config, 1);
  const errors = tokens.map((id, p) => relativeError(stepper.step(id, sequence), expected[p]!));
  expect(sequence.length).toBe(tokens.length);
  full.dispose();
  stepper.dispose();
  model.dispose();
  return Math.max(...errors);
}

const TOKENS = Array.from({ length: 32 }, (_, p) => (7 * p * p + p) % TINY.dVocab);
const mlp = (changes: Partial<MoeConfig>): Partial<ModelConfig> => ({ mlp: { ...TINY.mlp, ...changes } });

test.each<[string, Partial<ModelConfig>]>([
  ["as it is", {}],
  ["with RMS norms", { norm: "rmsNorm" }],
  ["with an epsilon that counts", { normEps: 0.1 }],
  ["with no clamp", { clipQkv: null }],
  ["with a clamp that bites", { clipQkv: 0.5 }],
  ["with a low base of RoPE", { ropeBase: 100 }],
  ["with one head of keys and values", { nKvHeads: 1 }],
  ["with heads that are together wider than the model", { dHead: 10 }],
  ["with a scale of scores", { attentionScale: 1 }],
  ["with a cap on scores", { attentionSoftcap: 0.7 }],
  ["with norms of each query and key", { qkNorm: "head" }],
  ["with norms of all queries and of all keys, then a clamp", { qkNorm: "full", clipQkv: 0.8 }],
  ["with norms after the sublayers", { postNorms: true }],
  ["with factors", { embeddingScale: 3, residualScale: 0.3, logitScale: 0.1 }],
  ["with tied embeddings", { tiedEmbeddings: true, dModel: 20 }],
  ["with GELU", mlp({ activation: "gelu" })],
  ["with GELU's approximation", mlp({ activation: "geluTanh" })],
  ["with one expert a token", mlp({ topK: 1, gating: { kind: "softmaxThenTopK", normalize: null } })],
  ["with all experts", mlp({ topK: 5, gating: { kind: "softmaxThenTopK", normalize: 2 } })],
  ["with a softmax over the chosen", mlp({ topK: 3, gating: { kind: "topKThenSoftmax" } })],
  ["without experts", { mlp: { kind: "dense", dFf: 13, activation: "silu" } }],
  [
    "with a dense block between two with experts",
    { nLayers: 3, denseBlocks: { layers: [1], mlp: { kind: "dense", dFf: 13, activation: "geluTanh" } } },
  ],
])("a model %s gives the logits of the full pass, token by token", (_, changes) => {
  expect(worst({ ...TINY, ...changes }, TOKENS)).toBeLessThan(1e-5);
});

test("a model wide enough for several threads does, too", () => {
  const wide = { ...TINY, dModel: 200, nHeads: 8, dHead: 26, dVocab: 1000, ...mlp({ dFf: 300 }) };
  expect(worst(wide, [1, 999, 3, 500, 5, 6], 1)).toBeLessThan(1e-5);
});

test("several sequences grow side by side, and none sees another", () => {
  const model = randomModel(TINY, 7);
  const stepper = new Stepper(TINY, model.params);
  const alone = (tokens: number[]): Float32Array[] => {
    const sequence = new Sequence(TINY, 1);
    return tokens.map((id) => stepper.step(id, sequence));
  };
  const [first, second] = [alone([1, 2, 3]), alone([3, 1, 4])];
  const [a, b] = [new Sequence(TINY, 1), new Sequence(TINY, 1)];
  for (const [p, [one, other]] of [[1, 3] as const, [2, 1] as const, [3, 4] as const].entries()) {
    expect(stepper.step(one, a)).toEqual(first[p]);
    expect(stepper.step(other, b)).toEqual(second[p]);
  }
  stepper.dispose();
  model.dispose();
});

test("a step takes copies of the weights and leaves no tensor", () => {
  const model = randomModel();
  const before = tf.memory().numTensors;
  const stepper = new Stepper(TINY, model.params);
  const expected = stepper.step(4, new Sequence(TINY, 1));
  expect(tf.memory().numTensors).toBe(before);
  model.dispose();
  expect(stepper.step(4, new Sequence(TINY, 1))).toEqual(expected);
  stepper.dispose();
});
