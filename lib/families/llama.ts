import type { ModelConfig } from "../config.ts";
import type { Family } from "./family.ts";
import { Fields } from "./fields.ts";
import { activationOf, LLAMA_TENSORS, llamaConfig, llamaJson, ROPE_TABLES } from "./llamaStyle.ts";
import { recipeOf } from "./tensorNames.ts";

/** RoPE's base where a file does not say it, as the first LLaMA-2 files do not. */
const DEFAULT_BASE = 10000;

/**
 * LLaMA-2 and CodeLLaMA, which differ in RoPE's base, context and vocabulary alone.
 * @see Touvron et al. 2023, arXiv:2307.09288; Rozière et al. 2023, arXiv:2308.12950
 */
export const llama: Family = {
  name: "llama",
  modelTypes: ["llama"],
  ignored: ROPE_TABLES,

  config(json) {
    const top = new Fields("config.json", json);
    top.only("pretraining_tp", [1]);
    const mlp: ModelConfig["mlp"] = {
      kind: "dense",
      dFf: top.number("intermediate_size"),
      activation: activationOf(top),
      ...(top.flag("mlp_bias", false) ? { bias: true } : {}),
    };
    return {
      family: "llama",
      ...llamaConfig(top, DEFAULT_BASE),
      ...(top.flag("attention_bias", false) ? { attentionBias: true } : {}),
      clipQkv: null,
      mlp,
    };
  },

  toJson: (config) => ({
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    ...llamaJson(config),
    intermediate_size: config.mlp.dFf,
    attention_bias: config.attentionBias === true,
    mlp_bias: config.mlp.kind === "dense" && config.mlp.bias === true,
  }),

  recipe: (param, config, held) => recipeOf([LLAMA_TENSORS], param, config, held),
};
