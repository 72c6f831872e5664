import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { gpt2 } from "../../../lib/families/gpt2.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { parameterCounts, paramShapes } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

describe("GPT-2's config.json", () => {
  test("has, as published, 124 million parameters, biases and learned positions", () => {
    const config = parseConfig(published("gpt2"));
    expect(config).toEqual({
      family: "gpt2",
      nLayers: 12,
      dModel: 768,
      nHeads: 12,
      nKvHeads: 12,
      dHead: 64,
      dVocab: 50257,
      nCtx: 1024,
      norm: "layerNorm",
      normBias: true,
      normEps: 1e-5,
      ropeBase: null,
      learnedPositions: true,
      attentionBias: true,
      clipQkv: null,
      tiedEmbeddings: true,
      mlp: { kind: "dense", dFf: 3072, activation: "geluTanh", ungated: true, bias: true },
    });
    expect(parameterCounts(config)).toEqual({ total: 124_439_808, active: 124_439_808 });
    expect(parseConfig(gpt2.toJson(config))).toEqual(config);
  });

  test("may leave out what is GPT-2's own, and name another width", () => {
    const fields = { activation_function: undefined, layer_norm_epsilon: undefined, n_positions: undefined };
    expect(parseConfig(changed("gpt2", fields))).toEqual(parseConfig(published("gpt2")));
    expect(parseConfig(changed("gpt2", { n_inner: 100 })).mlp.dFf).toBe(100);
  });

  test.each([
    [{ n_head: 7 }, "n_embd must be a multiple of n_head (7), got 768"],
    [{ scale_attn_weights: false }, "scale_attn_weights must be true, got false"],
    [{ scale_attn_by_inverse_layer_idx: true }, "scale_attn_by_inverse_layer_idx must be false, got true"],
    [{ add_cross_attention: true }, "add_cross_attention must be false, got true"],
    [
      { activation_function: "relu" },
      'activation_function must be one of "gelu_new", "gelu_pytorch_tanh", "gelu", "silu", got "relu"',
    ],
  ])("with %j is refused", (fields, message) => {
    expect(() => parseConfig(changed("gpt2", fields))).toThrow(new ConfigError(`config.json: ${message}`));
  });
});

test("every parameter of a GPT-2 lies in a tensor of its own and of its own shape, with the prefix that the file has", () => {
  const config = parseConfig(published("gpt2"));
  const tensors = [...paramShapes(config)].map(([param, shape]) => {
    const { join, parts } = gpt2.recipe(param, config);
    expect([join, parts[0]!.shape, parts[0]!.transposed], param).toEqual(["none", shape, false]);
    return parts[0]!.tensor;
  });
  expect(new Set(tensors).size).toBe(148); // 12 in each of 12 blocks and 4 outside
  expect(tensors).toContain("h.11.mlp.c_fc.weight");
  const held = (tensor: string): number[] | undefined => (tensor === "transformer.wte.weight" ? [1] : undefined);
  expect(gpt2.recipe("blocks.3.ln1.b", config, held).parts[0]!.tensor).toBe("transformer.h.3.ln_1.bias");
});
