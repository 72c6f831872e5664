import { describe, expect, test } from "vitest";
import { moeOf } from "../../../lib/config.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { qwen3moe } from "../../../lib/families/qwen3moe.ts";
import { parameterCounts } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

const MODEL = "qwen3-30b-a3b";

describe("Qwen3-MoE's config.json", () => {
  test("has, as published, 30.5 billion parameters, 3.35 of them for a token, and heads wider than d_model has room", () => {
    const config = parseConfig(published(MODEL));
    expect(config).toEqual({
      family: "qwen3_moe",
      nLayers: 48,
      dModel: 2048,
      nHeads: 32,
      nKvHeads: 4,
      dHead: 128,
      dVocab: 151936,
      nCtx: 40960,
      norm: "rmsNorm",
      normEps: 1e-6,
      ropeBase: 1e6,
      tiedEmbeddings: false,
      qkNorm: "head",
      clipQkv: null,
      mlp: {
        kind: "moe",
        nExperts: 128,
        topK: 8,
        dFf: 768,
        activation: "silu",
        gating: { kind: "softmaxThenTopK", normalize: 1 },
        loadBalanceWeight: 0.001,
      },
    });
    expect(parameterCounts(config)).toEqual({ total: 30_532_122_624, active: 3_353_032_704 });
    expect(parseConfig(qwen3moe.toJson(config))).toEqual(config);
  });

  test("may name a window that is not used, and call the number of experts as transformers 5 does", () => {
    const json = changed(MODEL, { sliding_window: 4096, num_experts: undefined, num_local_experts: 128 });
    expect(parseConfig(json)).toEqual(parseConfig(published(MODEL)));
  });

  test("leaves weights as they are unless it says otherwise", () => {
    const config = parseConfig(changed(MODEL, { norm_topk_prob: undefined }));
    expect(moeOf(config).gating).toEqual({ kind: "softmaxThenTopK", normalize: null });
  });

  test("names dense blocks one by one and by their step, and writes them one by one", () => {
    const config = parseConfig(changed(MODEL, { num_hidden_layers: 6, decoder_sparse_step: 3, mlp_only_layers: [2] }));
    const mlp = { kind: "dense", dFf: 6144, activation: "silu" };
    expect(config.denseBlocks).toEqual({ layers: [0, 1, 2, 3, 4], mlp });
    expect(parseConfig(qwen3moe.toJson(config))).toEqual(config);
  });

  test.each([
    [
      { use_sliding_window: true, sliding_window: 4096 },
      "sliding_window must be null or at least max_position_embeddings (40960), got 4096",
    ],
    [{ mlp_only_layers: [0, "1"] }, 'mlp_only_layers must be a list of numbers, got [0,"1"]'],
    [{ mlp_only_layers: 3 }, "mlp_only_layers must be a list of numbers, got 3"],
    [{ decoder_sparse_step: 2, intermediate_size: undefined }, "intermediate_size must be a number, got undefined"],
    [{ norm_topk_prob: 1 }, "norm_topk_prob must be true or false, got 1"],
    [{ moe_intermediate_size: undefined }, "moe_intermediate_size must be a number, got undefined"],
  ])("with %j is refused", (fields, message) => {
    expect(() => parseConfig(changed(MODEL, fields))).toThrow(new ConfigError(`config.json: ${message}`));
  });
});
