import type { Family } from "./family.ts";
import { Fields } from "./fields.ts";
import {
  EXPERTS_APART,
  EXPERTS_FUSED,
  expertsConfig,
  expertsJson,
  gatingConfig,
  gatingJson,
  llamaConfig,
  llamaJson,
  ROPE_TABLES,
  refuseBiases,
} from "./llamaStyle.ts";
import { recipeOf } from "./tensorNames.ts";

const FIELDS = { count: "num_experts", width: "intermediate_size" } as const;

/**
 * OLMoE: queries and keys are normalised over all heads together, then clamped if at all; the chosen experts keep their
 * probabilities as weights. @see Muennighoff et al. 2024, arXiv:2409.02060
 */
export const olmoe: Family = {
  name: "olmoe",
  modelTypes: ["olmoe"],
  ignored: ROPE_TABLES,

  config(json) {
    const top = new Fields("config.json", json);
    refuseBiases(top);
    const llama = llamaConfig(top);
    top.only("head_dim", [llama.dModel / llama.nHeads]); // its norms have d_model gains
    const loadBalanceWeight = top.number("router_aux_loss_coef", 0.01);
    return {
      family: "olmoe",
      ...llama,
      qkNorm: "full",
      clipQkv: top.numberOrNull("clip_qkv", null),
      mlp: { ...expertsConfig(top, FIELDS), gating: gatingConfig(top), loadBalanceWeight },
    };
  },

  toJson: (config) => ({
    architectures: ["OlmoeForCausalLM"],
    model_type: "olmoe",
    ...llamaJson(config),
    ...expertsJson(config, FIELDS),
    clip_qkv: config.clipQkv,
    ...gatingJson(config),
  }),

  recipe: (param, config, held) => recipeOf([EXPERTS_APART, EXPERTS_FUSED], param, config, held),
};
