import { describe, expect, test } from "vitest";
import { moeOf } from "../../../lib/config.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { olmoe } from "../../../lib/families/olmoe.ts";
import { parameterCounts } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

const MODEL = "olmoe-1b-7b";

describe("OLMoE's config.json", () => {
  test("has, as published, 6.92 billion parameters, 1.28 of them for a token, and weights that do not sum to 1", () => {
    const config = parseConfig(published(MODEL));
    expect(config).toEqual({
      family: "olmoe",
      nLayers: 16,
      dModel: 2048,
      nHeads: 16,
      nKvHeads: 16,
      dHead: 128,
      dVocab: 50304,
      nCtx: 4096,
      norm: "rmsNorm",
      normEps: 1e-5,
      ropeBase: 10000,
      tiedEmbeddings: false,
      qkNorm: "full",
      clipQkv: null,
      mlp: {
        kind: "moe",
        nExperts: 64,
        topK: 8,
        dFf: 1024,
        activation: "silu",
        gating: { kind: "softmaxThenTopK", normalize: null },
        loadBalanceWeight: 0.01,
      },
    });
    expect(parameterCounts(config)).toEqual({ total: 6_919_161_856, active: 1_282_017_280 });
    expect(parseConfig(olmoe.toJson(config))).toEqual(config);
  });

  test("may clamp, and may have weights sum to 1", () => {
    const config = parseConfig(changed(MODEL, { clip_qkv: 8, norm_topk_prob: true }));
    expect([config.clipQkv, moeOf(config).gating]).toEqual([8, { kind: "softmaxThenTopK", normalize: 1 }]);
    expect(parseConfig(olmoe.toJson(config))).toEqual(config);
  });

  test("may leave out the heads of keys and the weight of the loss, which then are transformers' own", () => {
    const json = changed(MODEL, { num_key_value_heads: undefined, router_aux_loss_coef: undefined });
    expect(parseConfig(json)).toEqual(parseConfig(published(MODEL)));
  });

  test("with heads of another width than its norms have is refused", () => {
    expect(() => parseConfig(changed(MODEL, { head_dim: 64 }))).toThrow(
      new ConfigError("config.json: head_dim must be 128, got 64"),
    );
  });
});
