import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { familyOf, parseConfig } from "../../../lib/families/index.ts";

describe("a configuration of an unknown family", () => {
  test("is refused with every type that is known, and the type and architecture that were found", () => {
    expect(() => parseConfig({ model_type: "bert", architectures: ["BertModel"] })).toThrow(
      new ConfigError(
        'config.json: model_type must be one of dbrx, mixtral, grok-1, grok, olmoe, qwen3_moe, granitemoe, llama, gemma, gpt2, gpt_oss, deepseek_v3, mt5, got "bert" (["BertModel"])',
      ),
    );
    expect(() => parseConfig({ architectures: ["GPT2LMHeadModel"] })).toThrow(
      /got undefined \(\["GPT2LMHeadModel"\]\)$/,
    );
  });
});

test("a family that is an encoder-decoder is known, and no decoder", () => {
  const message =
    'config.json: model_type must be a decoder\'s here, got "mt5", an encoder-decoder: open it with loadEncoderDecoder';
  for (const asked of ["mt5", { model_type: "mt5" }]) expect(() => familyOf(asked)).toThrow(new ConfigError(message));
});
