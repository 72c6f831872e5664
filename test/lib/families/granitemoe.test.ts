import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { granitemoe } from "../../../lib/families/granitemoe.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { parameterCounts } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

const MODEL = "granite-3.0-1b-a400m";

describe("Granite MoE's config.json", () => {
  test("has, as published, 1.33 billion parameters, 0.43 of them for a token, and four factors", () => {
    const config = parseConfig(published(MODEL));
    expect(config).toEqual({
      family: "granitemoe",
      nLayers: 24,
      dModel: 1024,
      nHeads: 16,
      nKvHeads: 8,
      dHead: 64,
      dVocab: 49152,
      nCtx: 4096,
      norm: "rmsNorm",
      normEps: 1e-6,
      ropeBase: 10000,
      tiedEmbeddings: true,
      embeddingScale: 12,
      attentionScale: 1 / 64,
      residualScale: 0.22,
      logitScale: 1 / 6,
      clipQkv: null,
      mlp: {
        kind: "moe",
        nExperts: 32,
        topK: 8,
        dFf: 512,
        activation: "silu",
        gating: { kind: "topKThenSoftmax" },
        loadBalanceWeight: 0.001,
      },
    });
    expect(parameterCounts(config)).toEqual({ total: 1_334_625_280, active: 428_655_616 });
    expect(parseConfig(granitemoe.toJson(config))).toEqual(config);
  });

  test("that names no factors means transformers' own: 1, for the scores too", () => {
    const names = ["embedding_multiplier", "attention_multiplier", "residual_multiplier", "logits_scaling"];
    const config = parseConfig(changed(MODEL, Object.fromEntries(names.map((name) => [name, undefined]))));
    const { embeddingScale, attentionScale, residualScale, logitScale } = config;
    expect([embeddingScale, attentionScale, residualScale, logitScale]).toEqual([1, 1, 1, 1]);
  });

  test("reads back as it was whatever the logits are divided by", () => {
    for (const scaling of [3, 7, 8, 49, 0.7, 1e-3, 123.456]) {
      const config = parseConfig(changed(MODEL, { logits_scaling: scaling }));
      expect(parseConfig(granitemoe.toJson(config))).toEqual(config);
    }
  });

  test.each([
    [{ logits_scaling: 0 }, "config: logitScale must be a positive number, got Infinity"],
    [{ residual_multiplier: -1 }, "config: residualScale must be a positive number, got -1"],
    [{ embedding_multiplier: "12" }, 'config.json: embedding_multiplier must be a number, got "12"'],
  ])("with %j is refused", (fields, message) => {
    expect(() => parseConfig(changed(MODEL, fields))).toThrow(new ConfigError(message));
  });
});
