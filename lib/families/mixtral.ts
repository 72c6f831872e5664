import type { Family } from "./family.ts";
import { Fields } from "./fields.ts";
import {
  EXPERTS_FUSED,
  expertsConfig,
  expertsJson,
  LLAMA_TENSORS,
  llamaConfig,
  llamaJson,
  ROPE_TABLES,
  refuseBiases,
  refuseWindow,
} from "./llamaStyle.ts";
import { recipeOf, type TensorNames } from "./tensorNames.ts";

/** As published: each expert's three matrices by themselves. */
const PUBLISHED: TensorNames = {
  ...LLAMA_TENSORS,
  "mlp.W_router": "model.layers.{l}.block_sparse_moe.gate.weight",
  "mlp.W_gate": "model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight",
  "mlp.W_up": "model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight",
  "mlp.W_down": "model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight",
};

const FIELDS = { count: "num_local_experts", width: "intermediate_size" } as const;

/** Mixtral: Llama's block with experts, whose weights sum to 1. @see Jiang et al. 2024, arXiv:2401.04088 */
export const mixtral: Family = {
  name: "mixtral",
  modelTypes: ["mixtral"],
  ignored: ROPE_TABLES,

  config(json) {
    const top = new Fields("config.json", json);
    refuseBiases(top);
    const llama = llamaConfig(top);
    refuseWindow(top, llama.nCtx); // the first configurations had one by mistake
    const gating = { kind: "softmaxThenTopK", normalize: 1 } as const;
    return { family: "mixtral", ...llama, clipQkv: null, mlp: { ...expertsConfig(top, FIELDS), gating } };
  },

  toJson: (config) => ({
    architectures: ["MixtralForCausalLM"],
    model_type: "mixtral",
    ...llamaJson(config),
    ...expertsJson(config, FIELDS),
  }),

  recipe: (param, config, held) => recipeOf([PUBLISHED, EXPERTS_FUSED], param, config, held),
};
