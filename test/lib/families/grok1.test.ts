import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { grok1 } from "../../../lib/families/grok1.ts";
import { parseConfig } from "../../../lib/families/index.ts";
import { parameterCounts } from "../../../lib/params.ts";
import { changed, published } from "./published.ts";

const MODEL = "grok-1";

describe("Grok-1's config.json", () => {
  test("has, as its port has it, 316 billion parameters, 84 of them for a token", () => {
    const config = parseConfig(published(MODEL));
    expect(config).toEqual({
      family: "grok-1",
      nLayers: 64,
      dModel: 6144,
      nHeads: 48,
      nKvHeads: 8,
      dHead: 128,
      dVocab: 131072,
      nCtx: 8192,
      norm: "rmsNorm",
      normEps: 1e-5,
      ropeBase: 10000,
      tiedEmbeddings: true,
      embeddingScale: 78.38367176906169,
      attentionScale: 0.08838834764831845,
      attentionSoftcap: 30,
      logitScale: 0.5773502691896257,
      postNorms: true,
      clipQkv: null,
      mlp: {
        kind: "moe",
        nExperts: 8,
        topK: 2,
        dFf: 32768,
        activation: "geluTanh",
        gating: { kind: "softmaxThenTopK", normalize: null },
        loadBalanceWeight: 0.001,
      },
    });
    expect(parameterCounts(config)).toEqual({ total: 315_684_820_992, active: 83_756_587_008 });
    expect(parseConfig(grok1.toJson(config))).toEqual(config);
  });

  test("of the other port, which names other things and leaves out the cap, says the same", () => {
    const json = changed(MODEL, {
      model_type: "grok",
      num_experts: undefined,
      num_local_experts: 8,
      max_attn_value: undefined,
      tie_word_embeddings: undefined,
      rope_theta: 10000,
    });
    expect(parseConfig(json)).toEqual(parseConfig(published(MODEL)));
  });

  test("means the tanh approximation, as xAI's code does, where a port says gelu", () => {
    expect(parseConfig(changed(MODEL, { hidden_act: "gelu" })).mlp.activation).toBe("geluTanh");
  });

  test.each([
    [{ hidden_act: "silu" }, 'hidden_act must be "gelu", "gelu_pytorch_tanh", "gelu_new", got "silu"'],
    [{ router_logit_softcapping: 30 }, "router_logit_softcapping must be null, got 30"],
    [{ final_logit_softcapping: 50 }, "final_logit_softcapping must be null, got 50"],
    [{ residual_moe: true }, "residual_moe must be false, got true"],
    [{ attn_output_multiplier: undefined }, "attn_output_multiplier must be a number, got undefined"],
  ])("with %j is refused", (fields, message) => {
    expect(() => parseConfig(changed(MODEL, fields))).toThrow(new ConfigError(`config.json: ${message}`));
  });
});
