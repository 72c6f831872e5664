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

const LAYER = "model.layers.{l}";
/** The port with Llama's module names. */
const LLAMA_LIKE: TensorNames = {
  ...LLAMA_TENSORS,
  "ln1.w": `${LAYER}.pre_attn_norm.scale`,
  "attn.W_Q": `${LAYER}.attn.q_proj.weight`,
  "attn.W_K": `${LAYER}.attn.k_proj.weight`,
  "attn.W_V": `${LAYER}.attn.v_proj.weight`,
  "attn.W_O": `${LAYER}.attn.o_proj.weight`,
  "ln1_post.w": `${LAYER}.post_attn_norm.scale`,
  "ln2.w": `${LAYER}.pre_moe_norm.scale`,
  "mlp.W_router": `${LAYER}.moe_block.gate.weight`,
  "mlp.W_gate": `${LAYER}.moe_block.experts.{e}.linear.weight`,
  "mlp.W_up": `${LAYER}.moe_block.experts.{e}.linear_v.weight`,
  "mlp.W_down": `${LAYER}.moe_block.experts.{e}.linear_1.weight`,
  "ln2_post.w": `${LAYER}.post_moe_norm.scale`,
  "ln_final.w": "model.norm.scale",
};

const DECODER = "transformer.decoder_layer.{l}";
/** The port with the release's own names. */
const RELEASE_LIKE: TensorNames = {
  "embed.W_E": "transformer.in_out_embed.weight",
  "ln1.w": `${DECODER}.rms_norm.weight`,
  "attn.W_Q": `${DECODER}.multi_head_attention.query.weight`,
  "attn.W_K": `${DECODER}.multi_head_attention.key.weight`,
  "attn.W_V": `${DECODER}.multi_head_attention.value.weight`,
  "attn.W_O": `${DECODER}.multi_head_attention.linear.weight`,
  "ln1_post.w": `${DECODER}.rms_norm_1.weight`,
  "ln2.w": `${DECODER}.rms_norm_2.weight`,
  "mlp.W_router": `${DECODER}.router.weight`,
  "mlp.W_gate": `${DECODER}.moe.{e}.linear.weight`,
  "mlp.W_up": `${DECODER}.moe.{e}.linear_v.weight`,
  "mlp.W_down": `${DECODER}.moe.{e}.linear_1.weight`,
  "ln2_post.w": `${DECODER}.rms_norm_3.weight`,
  "ln_final.w": "transformer.rms_norm.weight",
  "unembed.W_U": "lm_head.weight",
};

const FIELDS = { count: "num_experts", width: "intermediate_size" } as const;

/**
 * Grok-1 (xAI 2024). Its JAX code is the authority where the ports differ: GELU is the tanh approximation, whatever a
 * port calls it; the chosen experts keep their probabilities as weights; scores have one factor, and are bent to ±30
 * before the mask. That code also masks keys of the padding token, 0, and none are padded here.
 * @see https://github.com/xai-org/grok-1
 */
export const grok1: Family = {
  name: "grok-1",
  modelTypes: ["grok-1", "grok"],
  ignored: ROPE_TABLES,

  config(json) {
    const top = new Fields("config.json", json);
    refuseBiases(top);
    top.only("hidden_act", ["gelu", "gelu_pytorch_tanh", "gelu_new"]);
    // What Grok-2 has beyond it, and ports of both say.
    for (const cap of ["router_logit_softcapping", "final_logit_softcapping"]) top.only(cap, [null]);
    top.only("residual_moe", [false]);
    return {
      family: "grok-1",
      ...llamaConfig(top, 10000),
      tiedEmbeddings: top.flag("tie_word_embeddings", true),
      embeddingScale: top.number("embedding_multiplier_scale"),
      attentionScale: top.number("attn_output_multiplier"),
      attentionSoftcap: top.number("max_attn_value", 30),
      logitScale: top.number("output_multiplier_scale"),
      postNorms: true,
      clipQkv: null,
      mlp: {
        ...expertsConfig(top, FIELDS),
        activation: "geluTanh",
        gating: { kind: "softmaxThenTopK", normalize: null },
      },
    };
  },

  toJson: (config) => ({
    architectures: ["Grok1ModelForCausalLM"],
    model_type: "grok-1",
    ...llamaJson(config),
    ...expertsJson(config, FIELDS),
    embedding_multiplier_scale: config.embeddingScale ?? 1,
    attn_output_multiplier: config.attentionScale ?? config.dHead ** -0.5,
    max_attn_value: config.attentionSoftcap,
    output_multiplier_scale: config.logitScale ?? 1,
  }),

  recipe: (param, config, held) => recipeOf([LLAMA_LIKE, RELEASE_LIKE], param, config, held),
};
