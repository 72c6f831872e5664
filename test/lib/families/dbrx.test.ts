import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { type ModelConfig, moeOf } from "../../../lib/config.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { dbrx } from "../../../lib/families/dbrx.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { parameterCounts, paramShapes } from "../../../lib/params.ts";
import { TINY, TINY_DENSE } from "../../helpers.ts";

type Json = Record<string, unknown>;

function published(): Json & { attn_config: Json; ffn_config: Json } {
  const url = new URL("../../golden/dbrx/published-config.json", import.meta.url);
  return JSON.parse(readFileSync(url, "utf8"));
}

function size(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** The published config.json with other fields; undefined takes a field out. */
function changed(fields: Json, attn: Json = {}, ffn: Json = {}): unknown {
  const json = published();
  const whole = { ...json, attn_config: { ...json.attn_config, ...attn }, ffn_config: { ...json.ffn_config, ...ffn } };
  return JSON.parse(JSON.stringify({ ...whole, ...fields }));
}

describe("the published configuration of DBRX", () => {
  test("has the sizes of the paper", () => {
    const config = parseConfig(published());
    expect(config).toEqual({
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
        activation: "silu",
        gating: { kind: "softmaxThenTopK", normalize: 1 },
        loadBalanceWeight: 0.05,
      },
    } satisfies ModelConfig);
    expect(parameterCounts(config)).toEqual({ total: 131_596_523_520, active: 36_469_708_800 });
  });
});

describe("a DBRX's config.json", () => {
  test("may hold more than is read, in its parts too", () => {
    const json = changed(
      { architectures: ["x"], new: { deep: [1] } },
      { attn_pdrop: 0.5 },
      { ffn_act_fn: { name: "silu" } },
    );
    expect(parseConfig(json)).toEqual(parseConfig(published()));
  });

  test("may leave out the clamp, the norm of the weights and the weight of the loss", () => {
    const json = changed({}, { clip_qkv: undefined }, { moe_loss_weight: undefined });
    const config = parseConfig(json);
    const { loadBalanceWeight, gating } = moeOf(config);
    expect([config.clipQkv, loadBalanceWeight, gating]).toEqual([null, 0, { kind: "softmaxThenTopK", normalize: 1 }]);
  });

  test("says by null that weights are left as they are, and queries not clamped", () => {
    const config = parseConfig(changed({}, { clip_qkv: null }, { moe_normalize_expert_weights: null }));
    expect([config.clipQkv, moeOf(config).gating]).toEqual([null, { kind: "softmaxThenTopK", normalize: null }]);
  });

  // Dense-132B of the article, whose sizes are not published: a width that gives 132 billion with DBRX's other sizes.
  test("with one expert describes a dense model of the same block: no router, and every parameter at work", () => {
    const config = parseConfig(changed({}, {}, { moe_num_experts: 1, moe_top_k: 1, ffn_hidden_size: 172032 }));
    expect(config.mlp).toEqual({ kind: "dense", dFf: 172032, activation: "silu" });
    const sixteenExperts = 131_596_523_520;
    const routers = 40 * 16 * 6144;
    expect(parameterCounts(config)).toEqual({ total: sixteenExperts - routers, active: sixteenExperts - routers });
  });

  test.each<[string, unknown, string]>([
    ["no width", changed({ d_model: undefined }), "config.json: d_model must be a number, got undefined"],
    ["a width of null", changed({ d_model: null }), "config.json: d_model must be a number, got null"],
    ["a width in words", changed({ d_model: "6144" }), 'config.json: d_model must be a number, got "6144"'],
    ["a list of layers", changed({ n_layers: [40] }), "config.json: n_layers must be a number, got [40]"],
    ["a vocabulary of yes", changed({ vocab_size: true }), "config.json: vocab_size must be a number, got true"],
    ["no context", changed({ max_seq_len: undefined }), "config.json: max_seq_len must be a number, got undefined"],
    [
      "heads that do not fit",
      changed({ n_heads: 47 }),
      "config.json: d_model must be a multiple of n_heads (47), got 6144",
    ],
    ["no heads", changed({ n_heads: 0 }), "config.json: d_model must be a multiple of n_heads (0), got 6144"],
    ["negative heads", changed({ n_heads: -48 }), "config: nHeads must be a whole number from 1 to 16777216, got -48"],
    ["half a layer", changed({ n_layers: 0.5 }), "config: nLayers must be a whole number from 1 to 4096, got 0.5"],
    [
      "layers beyond reason",
      changed({ n_layers: 1e15 }),
      "config: nLayers must be a whole number from 1 to 4096, got 1000000000000000",
    ],
    [
      "no attention part",
      changed({ attn_config: undefined }),
      "config.json attn_config: kv_n_heads must be a number, got undefined",
    ],
    [
      "an attention part that is a list",
      changed({ attn_config: [] }),
      "config.json: attn_config must be an object, got []",
    ],
    [
      "an attention part that is a number",
      changed({ attn_config: 8 }),
      "config.json: attn_config must be an object, got 8",
    ],
    [
      "no RoPE base",
      changed({}, { rope_theta: undefined }),
      "config.json attn_config: rope_theta must be a number, got undefined",
    ],
    ["a clamp in words", changed({}, { clip_qkv: "8" }), 'config.json attn_config: clip_qkv must be a number, got "8"'],
    [
      "key heads that do not fit",
      changed({}, { kv_n_heads: 7 }),
      "config: nHeads must be a multiple of nKvHeads (7), got 48",
    ],
    [
      "no experts part",
      changed({ ffn_config: null }),
      "config.json ffn_config: moe_num_experts must be a number, got undefined",
    ],
    [
      "more chosen than there are",
      changed({}, {}, { moe_top_k: 17 }),
      "config: mlp.topK (nExperts is 16) must be a whole number from 1 to 16, got 17",
    ],
    [
      "another activation",
      changed({}, {}, { ffn_act_fn: { name: "gelu" } }),
      'config.json ffn_config ffn_act_fn: name must be "silu", got "gelu"',
    ],
    [
      "an activation that is a word",
      changed({}, {}, { ffn_act_fn: "silu" }),
      'config.json ffn_config: ffn_act_fn must be an object, got "silu"',
    ],
    [
      "one expert and two chosen",
      changed({}, {}, { moe_num_experts: 1, moe_top_k: 2 }),
      "config.json ffn_config: moe_top_k must be 1, got 2",
    ],
    [
      "a 0-norm",
      changed({}, {}, { moe_normalize_expert_weights: 0 }),
      "config: mlp.gating.normalize must be a positive number, got 0",
    ],
    [
      "tied embeddings",
      changed({ tie_word_embeddings: true }),
      "config.json: tie_word_embeddings must be false, got true",
    ],
  ])("with %s is refused in one line", (_, json, message) => {
    expect(() => parseConfig(json)).toThrow(new ConfigError(message));
  });

  test("with a number that JSON can write and a double cannot hold is refused", () => {
    const json = JSON.parse(JSON.stringify(published()).replace("100352", "1e999")) as unknown;
    expect(() => parseConfig(json)).toThrow(
      new ConfigError("config: dVocab must be a whole number from 1 to 16777216, got Infinity"),
    );
  });
});

describe("parseConfig", () => {
  test.each<[string, unknown, string]>([
    ["nothing", undefined, "config.json: must be an object, got undefined"],
    ["null", null, "config.json: must be an object, got null"],
    ["a list", [published()], 'config.json: must be an object, got [{"architectures":'],
    ["a text", "{}", 'config.json: must be an object, got "{}"'],
    ["a model of no type", {}, "config.json: model_type must be one of "],
    ["an unknown type", { model_type: "bert" }, "config.json: model_type must be one of "],
    ["a type that is a list", { model_type: ["dbrx"] }, "config.json: model_type must be one of "],
    ["a type that every object has", { model_type: "toString" }, "config.json: model_type must be one of "],
  ])("refuses %s", (_, json, message) => {
    expect(() => parseConfig(json)).toThrow(ConfigError);
    expect(() => parseConfig(json)).toThrow(message);
  });
});

describe("dbrx", () => {
  test.each<[string, ModelConfig]>([
    ["tiny", TINY],
    ["published", parseConfig(published())],
    [
      "without clamp, norm and loss",
      {
        ...TINY,
        clipQkv: null,
        mlp: { ...TINY.mlp, loadBalanceWeight: 0, gating: { kind: "softmaxThenTopK", normalize: null } },
      },
    ],
    ["dense", TINY_DENSE],
  ])("writes a config.json that reads back as it was: %s", (_, config) => {
    expect(parseConfig(JSON.parse(JSON.stringify(dbrx.toJson(config))))).toEqual(config);
  });

  test("has no config.json for another gating", () => {
    const config: ModelConfig = { ...TINY, mlp: { ...TINY.mlp, gating: { kind: "topKThenSoftmax" } } };
    expect(() => dbrx.toJson(config)).toThrow(
      new ConfigError("config: mlp.gating.kind must be softmaxThenTopK for a dbrx, got topKThenSoftmax"),
    );
  });

  test("finds every parameter in tensors that hold as many values, no value twice", () => {
    const taken = new Map<string, number>();
    const sizes = new Map<string, number>();
    for (const [name, shape] of paramShapes(TINY)) {
      let values = 0;
      for (const { tensor, shape: stored, rows } of dbrx.recipe(name, TINY).parts) {
        const part = rows === undefined ? size(stored) : (size(stored) / stored[0]!) * (rows[1] - rows[0]);
        values += part;
        taken.set(tensor, (taken.get(tensor) ?? 0) + part);
        sizes.set(tensor, size(stored));
      }
      expect(values, name).toBe(size(shape));
    }
    expect(taken).toEqual(sizes);
  });
});
