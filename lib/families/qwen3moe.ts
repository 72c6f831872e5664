import type { Family } from "./family.ts";
import { Fields } from "./fields.ts";
import {
  EXPERTS_APART,
  EXPERTS_FUSED,
  expertsConfig,
  gatingConfig,
  gatingJson,
  llamaConfig,
  llamaJson,
  ROPE_TABLES,
  refuseWindow,
} from "./llamaStyle.ts";
import { recipeOf } from "./tensorNames.ts";

const FIELDS = { count: "num_experts", width: "moe_intermediate_size" } as const;

/** Qwen3-MoE: queries and keys are normalised head by head; every block has experts. @see Qwen 2025, arXiv:2505.09388 */
export const qwen3moe: Family = {
  name: "qwen3_moe",
  modelTypes: ["qwen3_moe"],
  ignored: ROPE_TABLES,

  config(json) {
    const top = new Fields("config.json", json);
    const llama = llamaConfig(top);
    if (top.flag("use_sliding_window", false)) refuseWindow(top, llama.nCtx);
    top.only("decoder_sparse_step", [1]);
    top.only("mlp_only_layers", [[]]);
    return {
      family: "qwen3_moe",
      ...llama,
      qkNorm: "head",
      clipQkv: null,
      mlp: { ...expertsConfig(top, FIELDS), gating: gatingConfig(top) },
    };
  },

  toJson: (config) => ({
    architectures: ["Qwen3MoeForCausalLM"],
    model_type: "qwen3_moe",
    ...llamaJson(config, FIELDS),
    ...gatingJson(config.mlp.gating),
  }),

  recipe: (param, config, held) => recipeOf([EXPERTS_APART, EXPERTS_FUSED], param, config, held),
};
