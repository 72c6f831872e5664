import { type Activation, type Gating, type ModelConfig, type MoeConfig, moeOf } from "../config.ts";
import { listed } from "../errors.ts";
import type { Fields } from "./fields.ts";
import type { TensorNames } from "./tensorNames.ts";

/** The names that transformers' Llama began and most families keep. */
export const LLAMA_TENSORS: TensorNames = {
  "embed.W_E": "model.embed_tokens.weight",
  "ln1.w": "model.layers.{l}.input_layernorm.weight",
  "attn.q_norm.w": "model.layers.{l}.self_attn.q_norm.weight",
  "attn.k_norm.w": "model.layers.{l}.self_attn.k_norm.weight",
  "attn.W_Q": "model.layers.{l}.self_attn.q_proj.weight",
  "attn.W_K": "model.layers.{l}.self_attn.k_proj.weight",
  "attn.W_V": "model.layers.{l}.self_attn.v_proj.weight",
  "attn.b_Q": "model.layers.{l}.self_attn.q_proj.bias",
  "attn.b_K": "model.layers.{l}.self_attn.k_proj.bias",
  "attn.b_V": "model.layers.{l}.self_attn.v_proj.bias",
  "attn.W_O": "model.layers.{l}.self_attn.o_proj.weight",
  "attn.b_O": "model.layers.{l}.self_attn.o_proj.bias",
  "ln2.w": "model.layers.{l}.post_attention_layernorm.weight",
  "dense.W_gate": "model.layers.{l}.mlp.gate_proj.weight",
  "dense.W_up": "model.layers.{l}.mlp.up_proj.weight",
  "dense.W_down": "model.layers.{l}.mlp.down_proj.weight",
  "dense.b_gate": "model.layers.{l}.mlp.gate_proj.bias",
  "dense.b_up": "model.layers.{l}.mlp.up_proj.bias",
  "dense.b_down": "model.layers.{l}.mlp.down_proj.bias",
  "ln_final.w": "model.norm.weight",
  "unembed.W_U": "lm_head.weight",
};

const EXPERTS = "model.layers.{l}.mlp.experts";
/** Llama's names and experts beside them: a tensor for each matrix of each expert. */
export const EXPERTS_APART: TensorNames = {
  ...LLAMA_TENSORS,
  "mlp.W_router": "model.layers.{l}.mlp.gate.weight",
  "mlp.W_gate": `${EXPERTS}.{e}.gate_proj.weight`,
  "mlp.W_up": `${EXPERTS}.{e}.up_proj.weight`,
  "mlp.W_down": `${EXPERTS}.{e}.down_proj.weight`,
};
/** All experts in two tensors, as transformers 5 has them in memory, and writes them when asked to. */
export const EXPERTS_FUSED: TensorNames = {
  ...EXPERTS_APART,
  "mlp.W_gate": `${EXPERTS}.gate_up_proj`,
  "mlp.W_up": `${EXPERTS}.gate_up_proj`,
  "mlp.W_down": `${EXPERTS}.down_proj`,
};

/** Tables of RoPE, which old checkpoints carry. */
export const ROPE_TABLES = /\.rotary_emb\.inv_freq$/;

/** The activations by transformers' names; what is absent is silu. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  silu: "silu",
  gelu: "gelu",
  gelu_pytorch_tanh: "geluTanh",
  gelu_new: "geluTanh",
};

/** What only some families' forward pass and recipes know; the others refuse it. */
export interface Accepted {
  /** RoPE stretched by YaRN. */
  yarn?: boolean;
  /** A form of quantised weights, which the family then checks. */
  quantized?: boolean;
}

/**
 * What a config.json says in Llama's words. Sizes must be there; what only some versions write has, where it is absent,
 * the value that transformers gives it. RoPE that is scaled and quantised weights are refused, if not accepted.
 * @param defaultBase RoPE's base where the file does not say it; left out: the file must
 */
export function llamaConfig(
  top: Fields,
  defaultBase?: number,
  { yarn = false, quantized = false }: Accepted = {},
): Omit<ModelConfig, "family" | "clipQkv" | "mlp"> {
  if (!quantized) top.only("quantization_config", [null]);
  const [dModel, nHeads] = [top.number("hidden_size"), top.number("num_attention_heads")];
  return {
    nLayers: top.number("num_hidden_layers"),
    dModel,
    nHeads,
    nKvHeads: top.number("num_key_value_heads", nHeads),
    dHead: headSize(top, dModel, nHeads),
    dVocab: top.number("vocab_size"),
    nCtx: top.number("max_position_embeddings"),
    norm: "rmsNorm",
    normEps: top.number("rms_norm_eps"),
    ropeBase: ropeBase(top, defaultBase, yarn ? ["default", "yarn"] : ["default"]),
    tiedEmbeddings: top.flag("tie_word_embeddings", false),
  };
}

/** What the gate projection goes through. */
export function activationOf(top: Fields): Activation {
  return top.choice("hidden_act", ACTIVATIONS);
}

/** The fields of a family's config.json for the number of experts and the width of one. */
export interface ExpertFields {
  count: "num_local_experts" | "num_experts";
  width: "intermediate_size" | "moe_intermediate_size";
}

/** What it says of the experts. The two names of their number go by the version of transformers: either is read. */
export function expertsConfig(top: Fields, { count, width }: ExpertFields): Omit<MoeConfig, "gating"> {
  return {
    kind: "moe",
    nExperts: top.number(top.nameOf(count, "num_local_experts", "num_experts")),
    topK: top.number("num_experts_per_tok"),
    dFf: top.number(width),
    activation: activationOf(top),
    loadBalanceWeight: top.number("router_aux_loss_coef", 0.001),
  };
}

/** Softmax before the choice, and whether the chosen weights are then made to sum to 1. */
export function gatingConfig(top: Fields): Gating {
  return { kind: "softmaxThenTopK", normalize: top.flag("norm_topk_prob", false) ? 1 : null };
}

/** The field that {@link gatingConfig} reads back. */
export function gatingJson(config: ModelConfig): Record<string, unknown> {
  const { gating } = moeOf(config, config.family);
  return { norm_topk_prob: gating.kind === "softmaxThenTopK" && gating.normalize === 1 };
}

function headSize(top: Fields, dModel: number, nHeads: number): number {
  const size = top.numberOrNull("head_dim", null);
  if (size !== null) return size;
  if (dModel % nHeads === 0) return dModel / nHeads;
  throw top.error("hidden_size", `a multiple of num_attention_heads (${nHeads}) where there is no head_dim`);
}

/** RoPE's base stands at the top in files of transformers 4, in `rope_parameters` in those of 5. */
function ropeBase(top: Fields, fallback: number | undefined, types: readonly string[]): number {
  const parts = [top.object("rope_parameters"), top.object("rope_scaling")];
  for (const part of parts) for (const type of ["rope_type", "type"]) part.only(type, types);
  for (const part of [top, ...parts]) part.only("partial_rotary_factor", [1]);
  const bases = [top, ...parts].map((part) => part.numberOrNull("rope_theta", null)).filter((base) => base !== null);
  if (new Set(bases).size > 1) throw top.error("rope_theta", `the same wherever it stands (${listed(bases)})`);
  return bases[0] ?? top.number("rope_theta", fallback);
}

/** Refuses a window of attention that is shorter than the context; a longer one hides nothing. */
export function refuseWindow(top: Fields, nCtx: number): void {
  const window = top.numberOrNull("sliding_window", null);
  if (window !== null && window < nCtx)
    throw top.error("sliding_window", `null or at least max_position_embeddings (${nCtx})`);
}

/** Refuses biases, for a family whose attention or MLP has none. */
export function refuseBiases(top: Fields): void {
  for (const bias of ["attention_bias", "mlp_bias"]) top.only(bias, [false]);
}

/** The config.json that {@link llamaConfig} reads back. */
export function llamaJson(config: ModelConfig): Record<string, unknown> {
  return {
    hidden_size: config.dModel,
    num_hidden_layers: config.nLayers,
    num_attention_heads: config.nHeads,
    num_key_value_heads: config.nKvHeads,
    head_dim: config.dHead,
    vocab_size: config.dVocab,
    max_position_embeddings: config.nCtx,
    rms_norm_eps: config.normEps,
    rope_theta: config.ropeBase,
    tie_word_embeddings: config.tiedEmbeddings === true,
    hidden_act: Object.keys(ACTIVATIONS).find((name) => ACTIVATIONS[name] === config.mlp.activation),
  };
}

/** The fields that {@link expertsConfig} reads back. */
export function expertsJson(config: ModelConfig, { count, width }: ExpertFields): Record<string, unknown> {
  const { nExperts, topK, dFf, loadBalanceWeight } = moeOf(config, config.family);
  return {
    [count]: nExperts,
    num_experts_per_tok: topK,
    [width]: dFf,
    router_aux_loss_coef: loadBalanceWeight,
  };
}
