import { describe, expect, test } from "vitest";
import { encoderDecoderCount, encoderDecoderShapes } from "../../../lib/encoderDecoderConfig.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { parseEncoderDecoder } from "../../../lib/families/index.ts";
import { mt5 } from "../../../lib/families/mt5.ts";
import { changed, published } from "./published.ts";

const MODEL = "mt5-xxl";

describe("mT5's config.json", () => {
  // Aya-101 is mT5-xxl trained further, and of its size.
  test("has, as published, 12.9 billion parameters", () => {
    const config = parseEncoderDecoder(published(MODEL));
    expect(config).toEqual({
      family: "mt5",
      nEncoderLayers: 24,
      nDecoderLayers: 24,
      dModel: 4096,
      nHeads: 64,
      dHead: 64,
      dFf: 10240,
      dVocab: 250112,
      normEps: 1e-6,
      activation: "geluTanh",
      nBuckets: 32,
      maxDistance: 128,
      startToken: 0,
      tiedEmbeddings: false,
    });
    expect(encoderDecoderCount(config)).toBe(12_921_057_280);
  });

  test("without a number of decoder layers has as many as encoder layers", () => {
    expect(parseEncoderDecoder(changed(MODEL, { num_decoder_layers: undefined, num_layers: 7 })).nDecoderLayers).toBe(
      7,
    );
  });

  test.each<[Record<string, unknown>, string]>([
    [{ feed_forward_proj: "relu" }, 'config.json: feed_forward_proj must be "gated-gelu", got "relu"'],
    [{ is_encoder_decoder: false }, "config.json: is_encoder_decoder must be true, got false"],
    [{ d_kv: undefined }, "config.json: d_kv must be a number, got undefined"],
    [{ relative_attention_num_buckets: 3 }, "config: nBuckets must be a whole number from 4 to 65536, got 3"],
    [{ num_layers: 0 }, "config: nEncoderLayers must be a whole number from 1 to 4096, got 0"],
    [{ decoder_start_token_id: 250112 }, "config: startToken must be a whole number from 0 to 250111, got 250112"],
    [{ layer_norm_epsilon: -1 }, "config: normEps must be a positive number, got -1"],
  ])("that says %j is refused", (fields, message) => {
    expect(() => parseEncoderDecoder(changed(MODEL, fields))).toThrow(new ConfigError(message));
  });
});

test("every parameter comes from tensors of its own, of its size together", () => {
  const config = parseEncoderDecoder(published(MODEL));
  const seen = new Set<string>();
  for (const [param, shape] of encoderDecoderShapes(config)) {
    const { parts } = mt5.recipe(param, config);
    const sizes = parts.map((part) => part.shape.reduce((a, b) => a * b, 1));
    expect(
      sizes.reduce((a, b) => a + b),
      param,
    ).toBe(shape.reduce((a, b) => a * b, 1));
    for (const { tensor } of parts) {
      expect(seen.has(tensor), tensor).toBe(false);
      seen.add(tensor);
    }
  }
  expect(seen).toContain("decoder.block.23.layer.2.DenseReluDense.wo.weight");
  expect(seen).toContain("encoder.block.0.layer.1.DenseReluDense.wi_0.weight");
  expect(seen).toContain("decoder.block.5.layer.1.EncDecAttention.k.weight");
});
