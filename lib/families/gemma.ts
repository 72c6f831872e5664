import type { Family } from "./family.ts";
import { Fields } from "./fields.ts";
import { LLAMA_TENSORS, llamaConfig, llamaJson, ROPE_TABLES, refuseBiases } from "./llamaStyle.ts";
import { recipeOf } from "./tensorNames.ts";

/**
 * Gemma, the first release: Llama's block with wide heads and a gated unit of GELU's tanh approximation, embeddings times
 * sqrt(d_model) in the full precision of float32, and norms whose gain the file holds as its distance from 1.
 * @see Gemma Team 2024, arXiv:2403.08295, section 2
 */
export const gemma: Family = {
  name: "gemma",
  modelTypes: ["gemma"],
  ignored: ROPE_TABLES,

  config(json) {
    const top = new Fields("config.json", json);
    refuseBiases(top);
    // The first files say "gelu" and mean the approximation; later ones say so in a second field.
    for (const act of ["hidden_act", "hidden_activation"]) top.only(act, ["gelu_pytorch_tanh", "gelu", null]);
    top.only("use_bidirectional_attention", [false, null]);
    const shape = llamaConfig(top, 10000);
    return {
      family: "gemma",
      ...shape,
      tiedEmbeddings: top.flag("tie_word_embeddings", true),
      embeddingScale: Math.sqrt(shape.dModel),
      clipQkv: null,
      mlp: { kind: "dense", dFf: top.number("intermediate_size"), activation: "geluTanh" },
    };
  },

  toJson: (config) => ({
    architectures: ["GemmaForCausalLM"],
    model_type: "gemma",
    ...llamaJson(config),
    intermediate_size: config.mlp.dFf,
  }),

  recipe(param, config, held) {
    const recipe = recipeOf([LLAMA_TENSORS], param, config, held);
    const isGain = /(^|\.)ln(1|2|_final)\.w$/.test(param);
    return isGain ? { ...recipe, parts: recipe.parts.map((part) => ({ ...part, plus: 1 })) } : recipe;
  },
};
