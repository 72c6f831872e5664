import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { deepseek3 } from "../../../lib/families/deepseek3.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { parameterCounts, paramShapes } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

const MODEL = "deepseek-v3";

describe("DeepSeek-V3's config.json", () => {
  test("has, as published, 671 billion parameters, 37.6 of them for a token, and three dense layers", () => {
    const config = parseConfig(published(MODEL));
    expect(config).toEqual({
      family: "deepseek_v3",
      nLayers: 61,
      dModel: 7168,
      nHeads: 128,
      nKvHeads: 128,
      dHead: 192,
      dVocab: 129280,
      nCtx: 163840,
      norm: "rmsNorm",
      normEps: 1e-6,
      ropeBase: 10000,
      tiedEmbeddings: false,
      clipQkv: null,
      yarn: { factor: 40, originalCtx: 4096, betaFast: 32, betaSlow: 1, truncate: true, mscale: 1, mscaleAllDim: 1 },
      latent: { qRank: 1536, kvRank: 512, dRope: 64, dValue: 128, interleaved: true },
      denseBlocks: { layers: [0, 1, 2], mlp: { kind: "dense", dFf: 18432, activation: "silu" } },
      mlp: {
        kind: "moe",
        nExperts: 256,
        topK: 8,
        dFf: 2048,
        activation: "silu",
        gating: { kind: "sigmoid", nGroups: 8, topGroups: 4, normalize: true, scale: 2.5 },
        loadBalanceWeight: 0.001,
        dShared: 2048,
      },
    });
    expect(parameterCounts(config)).toEqual({ total: 671_026_419_200, active: 37_552_297_472 });
    expect(parseConfig(deepseek3.toJson(config))).toEqual(config);
  });

  test("has 187,107,328 parameters of attention in a layer", () => {
    const attention = [...paramShapes(parseConfig(published(MODEL)))].filter(([name]) =>
      name.startsWith("blocks.7.attn."),
    );
    const sizes = attention.map(([, shape]) => shape.reduce((a, b) => a * b, 1));
    expect(sizes.reduce((a, b) => a + b)).toBe(187_107_328);
  });

  test("may have no dense layer, no shared expert and no narrow queries", () => {
    const config = parseConfig(
      changed(MODEL, { first_k_dense_replace: 0, n_shared_experts: null, q_lora_rank: null, rope_scaling: null }),
    );
    expect([config.denseBlocks, config.yarn, config.latent?.qRank]).toEqual([undefined, undefined, null]);
    expect(parseConfig(deepseek3.toJson(config))).toEqual(config);
  });

  test.each([
    [{ topk_method: "greedy" }, 'topk_method must be "noaux_tc", got "greedy"'],
    [{ scoring_func: "softmax" }, 'scoring_func must be "sigmoid", got "softmax"'],
    [{ attention_bias: true }, "attention_bias must be false, got true"],
    [{ n_group: 7 }, "config: mlp.gating.nGroups must be groups of two or more of 256, got 7"],
    [{ n_group: 256, topk_group: 8 }, "config: mlp.gating.nGroups must be groups of two or more of 256, got 256"],
    [{ topk_group: 9 }, "config: mlp.gating.topGroups (nGroups is 8) must be a whole number from 1 to 8, got 9"],
    [
      { num_experts_per_tok: 100, topk_group: 3 },
      "config: mlp.topK must be at most 96, the experts of topGroups, got 100",
    ],
    [{ qk_rope_head_dim: 63 }, "config: latent.dRope must be even, since RoPE turns pairs, got 63"],
    [{ num_key_value_heads: 64 }, "config: nKvHeads must be nHeads (128) with latent, got 64"],
    [{ kv_lora_rank: 0 }, "config: latent.kvRank must be a whole number from 1 to 16777216, got 0"],
    [{ kv_lora_rank: undefined }, "config.json: kv_lora_rank must be a number, got undefined"],
    [
      { quantization_config: { quant_method: "fp8", weight_block_size: [64, 64] } },
      "weight_block_size must be [128,128], got [64,64]",
    ],
  ])("with %j is refused", (fields, message) => {
    const parsing = (): unknown => parseConfig(changed(MODEL, fields));
    expect(parsing).toThrow(ConfigError);
    expect(parsing).toThrow(message);
  });
});

test("DeepSeek-V3's matrices are FP8 where the file has factors of their squares", () => {
  const config = parseConfig(published(MODEL));
  const scaled = (tensor: string): number[] | undefined => (tensor.endsWith("_scale_inv") ? [] : undefined);
  const name = "model.layers.9.mlp.experts.4.up_proj.weight";
  expect(deepseek3.recipe("blocks.9.mlp.W_up", config, scaled).parts[4]).toEqual({
    tensor: name,
    shape: [2048, 7168],
    transposed: true,
    scaling: { format: "fp8", scales: `${name}_scale_inv` },
  });
  expect(deepseek3.recipe("blocks.9.attn.W_KV_down", config).parts).toEqual([
    { tensor: "model.layers.9.self_attn.kv_a_proj_with_mqa.weight", shape: [576, 7168], transposed: true },
  ]);
});
