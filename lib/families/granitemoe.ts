import type { Family } from "./family.ts";
import { Fields } from "./fields.ts";
import {
  expertsConfig,
  expertsJson,
  LLAMA_TENSORS,
  llamaConfig,
  llamaJson,
  ROPE_TABLES,
  refuseBiases,
} from "./llamaStyle.ts";
import { recipeOf, type TensorNames } from "./tensorNames.ts";

const MOE = "model.layers.{l}.block_sparse_moe";
/** As published. */
const PUBLISHED: TensorNames = {
  ...LLAMA_TENSORS,
  "mlp.W_router": `${MOE}.router.layer.weight`,
  "mlp.W_gate": `${MOE}.input_linear.weight`,
  "mlp.W_up": `${MOE}.input_linear.weight`,
  "mlp.W_down": `${MOE}.output_linear.weight`,
};
/** In the names of transformers 5, of the same shapes. */
const RENAMED: TensorNames = {
  ...LLAMA_TENSORS,
  "mlp.W_router": `${MOE}.router.weight`,
  "mlp.W_gate": `${MOE}.experts.gate_up_proj`,
  "mlp.W_up": `${MOE}.experts.gate_up_proj`,
  "mlp.W_down": `${MOE}.experts.down_proj`,
};

const FIELDS = { count: "num_local_experts", width: "intermediate_size" } as const;

/**
 * Granite 3 MoE (IBM 2024): softmax over the chosen logits alone, and a factor each on embeddings, attention scores,
 * what a block adds, and logits.
 */
export const granitemoe: Family = {
  name: "granitemoe",
  modelTypes: ["granitemoe"],
  ignored: ROPE_TABLES,

  config(json) {
    const top = new Fields("config.json", json);
    refuseBiases(top);
    return {
      family: "granitemoe",
      ...llamaConfig(top),
      embeddingScale: top.number("embedding_multiplier", 1),
      attentionScale: top.number("attention_multiplier", 1),
      residualScale: top.number("residual_multiplier", 1),
      logitScale: 1 / top.number("logits_scaling", 1),
      clipQkv: null,
      mlp: { ...expertsConfig(top, FIELDS), gating: { kind: "topKThenSoftmax" } },
    };
  },

  toJson: (config) => ({
    architectures: ["GraniteMoeForCausalLM"],
    model_type: "granitemoe",
    ...llamaJson(config),
    ...expertsJson(config, FIELDS),
    embedding_multiplier: config.embeddingScale ?? 1,
    attention_multiplier: config.attentionScale ?? config.dHead ** -0.5,
    residual_multiplier: config.residualScale ?? 1,
    logits_scaling: 1 / (config.logitScale ?? 1),
  }),

  recipe: (param, config, held) => recipeOf([PUBLISHED, RENAMED], param, config, held),
};
