import type { DenseConfig, ModelConfig } from "../config.ts";
import type { Family } from "./family.ts";
import { Fields } from "./fields.ts";
import {
  activationOf,
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
  refuseWindow,
} from "./llamaStyle.ts";
import { recipeOf } from "./tensorNames.ts";

const FIELDS = { count: "num_experts", width: "moe_intermediate_size" } as const;

/** Qwen3-MoE: queries and keys are normalised head by head; some blocks may be dense. @see Qwen 2025, arXiv:2505.09388 */
export const qwen3moe: Family = {
  name: "qwen3_moe",
  modelTypes: ["qwen3_moe"],
  ignored: ROPE_TABLES,

  config(json) {
    const top = new Fields("config.json", json);
    refuseBiases(top);
    const llama = llamaConfig(top);
    if (top.flag("use_sliding_window", false)) refuseWindow(top, llama.nCtx);
    return {
      family: "qwen3_moe",
      ...llama,
      qkNorm: "head",
      clipQkv: null,
      mlp: { ...expertsConfig(top, FIELDS), gating: gatingConfig(top) },
      ...denseBlocks(top, llama.nLayers),
    };
  },

  toJson: (config) => ({
    architectures: ["Qwen3MoeForCausalLM"],
    model_type: "qwen3_moe",
    ...llamaJson(config),
    ...expertsJson(config, FIELDS),
    ...gatingJson(config),
    mlp_only_layers: config.denseBlocks?.layers ?? [],
    intermediate_size: config.denseBlocks?.mlp.dFf,
  }),

  recipe: (param, config, held) => recipeOf([EXPERTS_APART, EXPERTS_FUSED], param, config, held),
};

/** Every `decoder_sparse_step`-th block has experts, but for those of `mlp_only_layers`; the published have them in all. */
function denseBlocks(top: Fields, nLayers: number): Pick<ModelConfig, "denseBlocks"> {
  const step = top.number("decoder_sparse_step", 1);
  const named = top.numbers("mlp_only_layers");
  const layers = Array.from({ length: nLayers }, (_, l) => l).filter((l) => named.includes(l) || (l + 1) % step !== 0);
  if (layers.length === 0) return {};
  const mlp: DenseConfig = {
    kind: "dense",
    dFf: top.number("intermediate_size"),
    activation: activationOf(top),
  };
  return { denseBlocks: { layers, mlp } };
}
