import type { DenseConfig, ModelConfig, MoeConfig } from "../config.ts";

// The models of the article's inference figure, from their published configurations (config.json on the hub).

const silu = { activation: "silu" } as const;
const softmaxThenTopK = (normalize: number | null): MoeConfig["gating"] => ({ kind: "softmaxThenTopK", normalize });

/** DBRX, databricks/dbrx-instruct. */
export const DBRX: ModelConfig = {
  family: "dbrx",
  nLayers: 40,
  dModel: 6144,
  nHeads: 48,
  nKvHeads: 8,
  dHead: 128,
  dVocab: 100352,
  nCtx: 32768,
  norm: "layerNorm",
  normEps: 1e-5,
  ropeBase: 500000,
  clipQkv: 8,
  mlp: {
    kind: "moe",
    nExperts: 16,
    topK: 4,
    dFf: 10752,
    ...silu,
    gating: softmaxThenTopK(1),
    loadBalanceWeight: 0.05,
  },
};

/**
 * The article's "Dense-132B". Its shape was not published; this is DBRX with one MLP as wide as the sixteen experts
 * together, which has the same size.
 */
export const DENSE_132B: ModelConfig = {
  ...DBRX,
  mlp: { kind: "dense", dFf: 16 * 10752, ...silu } satisfies DenseConfig,
};

/** Mixtral 8x7B, mistralai/Mixtral-8x7B-v0.1. */
export const MIXTRAL_8X7B: ModelConfig = {
  family: "mixtral",
  nLayers: 32,
  dModel: 4096,
  nHeads: 32,
  nKvHeads: 8,
  dHead: 128,
  dVocab: 32000,
  nCtx: 32768,
  norm: "rmsNorm",
  normEps: 1e-5,
  ropeBase: 1e6,
  clipQkv: null,
  mlp: {
    kind: "moe",
    nExperts: 8,
    topK: 2,
    dFf: 14336,
    ...silu,
    gating: softmaxThenTopK(1),
    loadBalanceWeight: 0.02,
  },
};

/** LLaMA2-70B, meta-llama/Llama-2-70b. */
export const LLAMA2_70B: ModelConfig = {
  family: "llama",
  nLayers: 80,
  dModel: 8192,
  nHeads: 64,
  nKvHeads: 8,
  dHead: 128,
  dVocab: 32000,
  nCtx: 4096,
  norm: "rmsNorm",
  normEps: 1e-5,
  ropeBase: 10000,
  clipQkv: null,
  mlp: { kind: "dense", dFf: 28672, ...silu },
};

/** Grok-1, xai-org/grok-1. */
export const GROK_1: ModelConfig = {
  family: "grok-1",
  nLayers: 64,
  dModel: 6144,
  nHeads: 48,
  nKvHeads: 8,
  dHead: 128,
  dVocab: 131072,
  nCtx: 8192,
  norm: "rmsNorm",
  normEps: 1e-5,
  ropeBase: 10000,
  clipQkv: null,
  postNorms: true,
  tiedEmbeddings: true,
  mlp: {
    kind: "moe",
    nExperts: 8,
    topK: 2,
    dFf: 32768,
    activation: "geluTanh",
    gating: softmaxThenTopK(null),
    loadBalanceWeight: 0,
  },
};
