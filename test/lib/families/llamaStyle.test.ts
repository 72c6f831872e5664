import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { changed, type Json, published } from "./published.ts";

const MODELS = ["mixtral-8x7b", "olmoe-1b-7b", "qwen3-30b-a3b", "granite-3.0-1b-a400m", "grok-1"];
const DENSE = ["llama-2-70b", "gemma-7b"];
const base = (name: string): number => parseConfig(published(name)).ropeBase!;

describe.each([...MODELS, ...DENSE])("the config.json of %s", (name) => {
  test.each<[string, Json]>([
    ["more than is read", { architectures: ["x"], new_field: { deep: [1] }, pad_token_id: 5, use_cache: false }],
    [
      "RoPE's base as transformers 5 does",
      { rope_theta: undefined, rope_parameters: { rope_type: "default", rope_theta: base(name) } },
    ],
    ["RoPE's base twice, if it is the same", { rope_theta: base(name), rope_parameters: { rope_theta: base(name) } }],
    ["a RoPE that is scaled by name alone", { rope_scaling: { type: "default" } }],
    ["what is for training", { attention_dropout: 0.1, router_jitter_noise: 0.01 }],
  ])("may hold %s", (_, fields) => {
    expect(parseConfig(changed(name, fields))).toEqual(parseConfig(published(name)));
  });

  test.each<[Json, string]>([
    [{ hidden_size: undefined }, ": hidden_size must be a number, got undefined"],
    [{ num_hidden_layers: "32" }, ': num_hidden_layers must be a number, got "32"'],
    [{ num_attention_heads: null }, ": num_attention_heads must be a number, got null"],
    [{ vocab_size: [1] }, ": vocab_size must be a number, got [1]"],
    [{ max_position_embeddings: undefined }, ": max_position_embeddings must be a number, got undefined"],
    [{ rms_norm_eps: undefined }, ": rms_norm_eps must be a number, got undefined"],
    [{ tie_word_embeddings: "no" }, ': tie_word_embeddings must be true or false, got "no"'],
    [{ quantization_config: { bits: 4 } }, ': quantization_config must be null, got {"bits":4}'],
    [{ rope_scaling: { type: "linear", factor: 2 } }, ' rope_scaling: type must be "default", got "linear"'],
    [{ rope_scaling: { rope_type: "yarn", factor: 4 } }, ' rope_scaling: rope_type must be "default", got "yarn"'],
    [{ rope_parameters: { rope_type: "llama3" } }, ' rope_parameters: rope_type must be "default", got "llama3"'],
    [{ partial_rotary_factor: 0.5 }, ": partial_rotary_factor must be 1, got 0.5"],
    [{ rope_parameters: "default" }, ': rope_parameters must be an object, got "default"'],
    [
      { rope_theta: 1, rope_parameters: { rope_theta: 2 } },
      ": rope_theta must be the same wherever it stands (1, 2), got 1",
    ],
  ])("with %j is refused in one line", (fields, message) => {
    expect(() => parseConfig(changed(name, fields))).toThrow(new ConfigError(`config.json${message}`));
  });
});

describe.each([...MODELS, "gemma-7b"])("the config.json of %s, whose projections have no biases,", (name) => {
  test.each(["attention_bias", "mlp_bias"])("is refused with %s", (field) => {
    expect(() => parseConfig(changed(name, { [field]: true }))).toThrow(
      new ConfigError(`config.json: ${field} must be false, got true`),
    );
  });
});

describe.each(MODELS)("the config.json of %s, which has experts,", (name) => {
  test("must say how many of them a token takes", () => {
    expect(() => parseConfig(changed(name, { num_experts_per_tok: undefined }))).toThrow(
      new ConfigError("config.json: num_experts_per_tok must be a number, got undefined"),
    );
  });
});

describe("what Llama's words mean", () => {
  const granite = (fields: Json): ReturnType<typeof parseConfig> =>
    parseConfig(changed("granite-3.0-1b-a400m", fields));

  test("the base of RoPE must be said", () => {
    expect(() => granite({ rope_theta: undefined })).toThrow(
      new ConfigError("config.json: rope_theta must be a number, got undefined"),
    );
  });

  test("heads are as wide as head_dim says, or share the width of the model", () => {
    expect(granite({ head_dim: 32 }).dHead).toBe(32);
    expect(granite({ head_dim: null }).dHead).toBe(64);
    expect(granite({ hidden_size: 1000, head_dim: 64 }).dHead).toBe(64);
    expect(() => granite({ hidden_size: 1000 })).toThrow(
      new ConfigError(
        "config.json: hidden_size must be a multiple of num_attention_heads (16) where there is no head_dim, got 1000",
      ),
    );
  });

  test.each([
    ["silu", "silu"],
    ["gelu", "gelu"],
    ["gelu_pytorch_tanh", "geluTanh"],
    ["gelu_new", "geluTanh"],
    [undefined, "silu"],
  ])("the activation %s is %s", (word, activation) => {
    expect(granite({ hidden_act: word }).mlp.activation).toBe(activation);
  });

  test("an activation of another name is refused with those that are known", () => {
    expect(() => granite({ hidden_act: "relu" })).toThrow(
      new ConfigError(
        'config.json: hidden_act must be one of "silu", "gelu", "gelu_pytorch_tanh", "gelu_new", got "relu"',
      ),
    );
  });
});
