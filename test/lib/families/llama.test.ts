import { describe, expect, test } from "vitest";
import type { ModelConfig } from "../../../lib/config.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { llama } from "../../../lib/families/llama.ts";
import { parameterCounts } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

const MODEL = "llama-2-70b";
const SEVENTY: ModelConfig = {
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
  tiedEmbeddings: false,
  clipQkv: null,
  mlp: { kind: "dense", dFf: 28672, activation: "silu" },
};

describe("LLaMA-2's config.json", () => {
  test.each([
    [MODEL, {}, 68_976_648_192],
    ["codellama-70b-instruct", { dVocab: 32016 }, 68_976_910_336],
  ])("of %s has, as published, the sizes of the paper, all of which a token uses", (name, changes, total) => {
    const config = parseConfig(published(name));
    expect(config).toEqual({ ...SEVENTY, ...changes });
    expect(parameterCounts(config)).toEqual({ total, active: total });
    expect(parseConfig(llama.toJson(config))).toEqual(config);
  });

  test("says CodeLLaMA's base of the smaller sizes, biases, and as many key heads as query heads where it names none", () => {
    const fields = { rope_theta: 1e6, attention_bias: true, mlp_bias: true, num_key_value_heads: undefined };
    const config = parseConfig(changed(MODEL, fields));
    const mlp = { ...SEVENTY.mlp, bias: true };
    expect(config).toEqual({ ...SEVENTY, ropeBase: 1e6, attentionBias: true, nKvHeads: 64, mlp });
    expect(parseConfig(llama.toJson(config))).toEqual(config);
  });

  test.each([
    [{ pretraining_tp: 2 }, "config.json: pretraining_tp must be 1, got 2"],
    [{ intermediate_size: undefined }, "config.json: intermediate_size must be a number, got undefined"],
    [{ mlp_bias: "yes" }, 'config.json: mlp_bias must be true or false, got "yes"'],
    [
      { rope_scaling: { rope_type: "llama3", factor: 8 } },
      'config.json rope_scaling: rope_type must be "default", got "llama3"',
    ],
  ])("with %j is refused", (fields, message) => {
    expect(() => parseConfig(changed(MODEL, fields))).toThrow(new ConfigError(message));
  });
});
