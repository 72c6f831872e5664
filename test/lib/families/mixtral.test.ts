import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { mixtral } from "../../../lib/families/mixtral.ts";
import { parameterCounts } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

const MODEL = "mixtral-8x7b";

describe("Mixtral's config.json", () => {
  test("has, as published, the sizes of the paper: 46.7 billion parameters, 12.9 of them for a token", () => {
    const config = parseConfig(published(MODEL));
    expect(config).toEqual({
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
      tiedEmbeddings: false,
      clipQkv: null,
      mlp: {
        kind: "moe",
        nExperts: 8,
        topK: 2,
        dFf: 14336,
        activation: "silu",
        gating: { kind: "softmaxThenTopK", normalize: 1 },
        loadBalanceWeight: 0.02,
      },
    });
    expect(parameterCounts(config)).toEqual({ total: 46_702_792_704, active: 12_879_925_248 });
    expect(parseConfig(mixtral.toJson(config))).toEqual(config);
  });

  test("may name a window that is never shorter than the text", () => {
    expect(parseConfig(changed(MODEL, { sliding_window: 32768 }))).toEqual(parseConfig(published(MODEL)));
  });

  // The first published configurations had it, and transformers follows it; the model was trained without.
  test("with a window shorter than the context is refused", () => {
    expect(() => parseConfig(changed(MODEL, { sliding_window: 4096 }))).toThrow(
      new ConfigError("config.json: sliding_window must be null or at least max_position_embeddings (32768), got 4096"),
    );
  });
});
