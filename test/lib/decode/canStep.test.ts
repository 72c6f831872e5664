import { freemem } from "node:os";
import { expect, test } from "vitest";
import { type ModelConfig, moeOf } from "../../../lib/config.ts";
import { canStep } from "../../../lib/decode/canStep.ts";
import { TINY } from "../../helpers.ts";

test("a small model can be stepped, with every option there is", () => {
  expect(canStep(TINY)).toBe(true);
  const all: Omit<
    Required<ModelConfig>,
    "learnedPositions" | "attentionBias" | "normBias" | "yarn" | "window" | "attentionSinks" | "latent"
  > = {
    ...TINY,
    denseBlocks: { layers: [1], mlp: { kind: "dense", dFf: 7, activation: "silu" } },
    attentionScale: 1,
    attentionSoftcap: 30,
    qkNorm: "full",
    postNorms: true,
    embeddingScale: 2,
    residualScale: 2,
    logitScale: 2,
    tiedEmbeddings: true,
  };
  expect(canStep(all)).toBe(true);
});

test("a model whose configuration says what a step does not know cannot", () => {
  expect(canStep({ ...TINY, slidingWindow: 4096 } as ModelConfig)).toBe(false);
  expect(canStep({ ...TINY, ropeBase: null })).toBe(false);
  expect(canStep({ ...TINY, attentionBias: true })).toBe(false);
  expect(canStep({ ...TINY, mlp: { kind: "dense", dFf: 7, activation: "silu", ungated: true } })).toBe(false);
  const gating = { kind: "sigmoid", nGroups: 1, topGroups: 1, normalize: true, scale: 1 } as const;
  expect(canStep({ ...TINY, mlp: { ...moeOf(TINY), gating } })).toBe(false);
  expect(canStep({ ...TINY, attentionSinks: true })).toBe(false);
  expect(canStep({ ...TINY, mlp: { ...TINY.mlp, nShared: 1 } } as ModelConfig)).toBe(false);
});

test("a model that WebAssembly's 4 GiB do not hold cannot, nor one larger than half of what is free", () => {
  expect(canStep({ ...TINY, dVocab: 1 << 24, dModel: 64 })).toBe(false); // two matrices of 4 GiB
  const dVocab = Math.ceil(freemem() / 2 / (2 * 4 * 16)) + 1000; // two matrices of rows of 16 numbers
  expect(canStep({ ...TINY, dVocab: Math.min(2 * dVocab, 1 << 26) })).toBe(false);
});

test("a model that gives a token to more experts than one product takes cannot", () => {
  expect(canStep({ ...TINY, mlp: { ...TINY.mlp, nExperts: 300, topK: 256 } })).toBe(true);
  expect(canStep({ ...TINY, mlp: { ...TINY.mlp, nExperts: 300, topK: 257 } })).toBe(false);
});
