import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { gptoss } from "../../../lib/families/gptoss.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { parameterCounts, paramShapes } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

const MODEL = "gpt-oss-20b";

describe("gpt-oss's config.json", () => {
  test("has, as published, 20.9 billion parameters, 4.19 of them for a token, and a window on every second layer", () => {
    const config = parseConfig(published(MODEL));
    expect(config).toEqual({
      family: "gpt_oss",
      nLayers: 24,
      dModel: 2880,
      nHeads: 64,
      nKvHeads: 8,
      dHead: 64,
      dVocab: 201088,
      nCtx: 131072,
      norm: "rmsNorm",
      normEps: 1e-5,
      ropeBase: 150000,
      tiedEmbeddings: false,
      clipQkv: null,
      yarn: {
        factor: 32,
        originalCtx: 4096,
        betaFast: 32,
        betaSlow: 1,
        truncate: false,
        mscale: null,
        mscaleAllDim: null,
      },
      window: { size: 128, layers: [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22] },
      attentionBias: true,
      attentionSinks: true,
      mlp: {
        kind: "moe",
        nExperts: 32,
        topK: 4,
        dFf: 2880,
        activation: "geluSigmoid",
        gating: { kind: "topKThenSoftmax" },
        loadBalanceWeight: 0.9,
        bias: true,
        gluLimit: 7,
      },
    });
    expect(parameterCounts(config)).toEqual({ total: 20_914_757_184, active: 4_187_440_704 });
    expect(parseConfig(gptoss.toJson(config))).toEqual(config);
  });

  test("of the large model has 116.8 billion", () => {
    const large = changed(MODEL, { num_hidden_layers: 36, num_local_experts: 128, layer_types: undefined });
    expect(parameterCounts(parseConfig(large)).total).toBe(116_829_156_672);
  });

  test("without a list of layers has the same windows, and without a window none", () => {
    const { window } = parseConfig(published(MODEL));
    expect(parseConfig(changed(MODEL, { layer_types: undefined })).window).toEqual(window);
    expect(parseConfig(changed(MODEL, { sliding_window: null })).window).toBeUndefined();
    const all = Array.from({ length: 24 }, () => "full_attention");
    expect(parseConfig(changed(MODEL, { layer_types: all })).window).toBeUndefined();
  });

  test.each([
    [{ attention_bias: false }, "attention_bias must be true, got false"],
    [{ swiglu_limit: 6 }, "swiglu_limit must be 7, got 6"],
    [{ layer_types: ["full_attention"] }, "layer_types must be a list of num_hidden_layers (24) words, got"],
    [
      { layer_types: ["linear"] },
      'layer_types must be a list of "sliding_attention", "full_attention", got ["linear"]',
    ],
    [
      { quantization_config: { quant_method: "gptq" } },
      'config.json quantization_config: quant_method must be "mxfp4", got "gptq"',
    ],
    [{ rope_scaling: { rope_type: "llama3" } }, 'rope_type must be "default", "yarn", got "llama3"'],
    [{ rope_scaling: { rope_type: "yarn", factor: 2 } }, "original_max_position_embeddings must be a number"],
    [{ sliding_window: 0 }, "config: window.size must be a whole number from 1 to 16777216, got 0"],
  ])("with %j is refused", (fields, message) => {
    const parsing = (): unknown => parseConfig(changed(MODEL, fields));
    expect(parsing).toThrow(ConfigError);
    expect(parsing).toThrow(message);
  });
});

describe("gpt-oss's experts", () => {
  const config = parseConfig(published(MODEL));

  test("lie in blocks of 32 where the file has those: gate and up are every second row", () => {
    const held = (tensor: string): number[] | undefined => (tensor.endsWith("_blocks") ? [] : undefined);
    const part = (param: string): unknown => gptoss.recipe(`blocks.3.mlp.${param}`, config, held).parts[2];
    const scaling = (of: string): object => ({
      format: "mxfp4",
      scales: `model.layers.3.mlp.experts.${of}_scales`,
    });
    expect(part("W_up")).toEqual({
      tensor: "model.layers.3.mlp.experts.gate_up_proj_blocks",
      shape: [32, 5760, 90, 16],
      rows: [11520, 17280],
      transposed: true,
      every: { first: 1, of: 2 },
      scaling: scaling("gate_up_proj"),
    });
    expect(part("W_down")).toEqual({
      tensor: "model.layers.3.mlp.experts.down_proj_blocks",
      shape: [32, 2880, 90, 16],
      rows: [5760, 8640],
      transposed: true,
      scaling: scaling("down_proj"),
    });
  });

  test("lie else as [in, out]: gate and up are every second column", () => {
    expect(gptoss.recipe("blocks.0.mlp.W_gate", config).parts[1]).toEqual({
      tensor: "model.layers.0.mlp.experts.gate_up_proj",
      shape: [32, 2880, 5760],
      rows: [2880, 5760],
      transposed: false,
      every: { first: 0, of: 2 },
    });
  });

  test("have biases for each of their projections, the router one for each expert, and attention a sink for each head", () => {
    const shapes = paramShapes(config);
    expect(["b_router", "b_gate", "b_up", "b_down"].map((name) => shapes.get(`blocks.5.mlp.${name}`))).toEqual([
      [32],
      [32, 2880],
      [32, 2880],
      [32, 2880],
    ]);
    expect(shapes.get("blocks.5.attn.sinks")).toEqual([64]);
  });
});
