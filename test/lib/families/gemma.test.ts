import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { gemma } from "../../../lib/families/gemma.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { parameterCounts } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

describe("Gemma's config.json", () => {
  test("has, as published, heads that are together wider than d_model, and 8.5 billion parameters", () => {
    const config = parseConfig(published("gemma-7b"));
    expect(config).toEqual({
      family: "gemma",
      nLayers: 28,
      dModel: 3072,
      nHeads: 16,
      nKvHeads: 16,
      dHead: 256,
      dVocab: 256000,
      nCtx: 8192,
      norm: "rmsNorm",
      normEps: 1e-6,
      ropeBase: 10000,
      tiedEmbeddings: true,
      embeddingScale: Math.sqrt(3072),
      clipQkv: null,
      mlp: { kind: "dense", dFf: 24576, activation: "geluTanh" },
    });
    expect(parameterCounts(config)).toEqual({ total: 8_537_680_896, active: 8_537_680_896 });
    expect(parseConfig(gemma.toJson(config))).toEqual(config);
  });

  test("of the small one has one key-value head for all, and 2.5 billion parameters", () => {
    const config = parseConfig(published("gemma-2b"));
    expect([config.nHeads, config.nKvHeads, config.dHead]).toEqual([8, 1, 256]);
    expect(parameterCounts(config).total).toBe(2_506_172_416);
  });

  test.each(["gelu", "gelu_pytorch_tanh", null])("means GELU's approximation by %j, in either field", (act) => {
    for (const field of ["hidden_act", "hidden_activation"])
      expect(parseConfig(changed("gemma-7b", { [field]: act })).mlp.activation).toBe("geluTanh");
  });

  test.each([
    [{ hidden_act: "silu" }, 'hidden_act must be "gelu_pytorch_tanh", "gelu", null, got "silu"'],
    [{ hidden_activation: "relu" }, 'hidden_activation must be "gelu_pytorch_tanh", "gelu", null, got "relu"'],
    [{ use_bidirectional_attention: true }, "use_bidirectional_attention must be false, null, got true"],
  ])("with %j is refused", (fields, message) => {
    expect(() => parseConfig(changed("gemma-7b", fields))).toThrow(new ConfigError(`config.json: ${message}`));
  });
});

test("Gemma's gains are read as 1 more than the file holds, and no other parameter is", () => {
  const config = parseConfig(published("gemma-2b"));
  const raised = (param: string): number | undefined => gemma.recipe(param, config).parts[0]!.plus;
  expect(["blocks.0.ln1.w", "blocks.17.ln2.w", "ln_final.w"].map(raised)).toEqual([1, 1, 1]);
  expect(["embed.W_E", "blocks.0.attn.W_QKV", "blocks.0.mlp.W_down"].map(raised)).toEqual(Array(3).fill(undefined));
});
