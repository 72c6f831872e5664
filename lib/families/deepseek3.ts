import { type LatentConfig, type ModelConfig, moeOf, type SigmoidGating } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { type Family, type Held, plain, turned, type WeightPart, type WeightRecipe } from "./family.ts";
import { Fields } from "./fields.ts";
import {
  activationOf,
  EXPERTS_APART,
  EXPERTS_FUSED,
  llamaConfig,
  llamaJson,
  ROPE_TABLES,
  refuseBiases,
} from "./llamaStyle.ts";
import { recipeOf } from "./tensorNames.ts";
import { yarnConfig, yarnJson } from "./yarn.ts";

const ATTENTION = "model.layers.{l}.self_attn";
const SHARED = "model.layers.{l}.mlp.shared_experts";
/** What others do not have: names and, of matrices, which are all [out, in], the axes. */
const OWN_TENSORS: Readonly<Record<string, string>> = {
  "attn.W_Q": `${ATTENTION}.q_proj.weight`,
  "attn.W_Q_down": `${ATTENTION}.q_a_proj.weight`,
  "attn.q_latent_norm.w": `${ATTENTION}.q_a_layernorm.weight`,
  "attn.W_Q_up": `${ATTENTION}.q_b_proj.weight`,
  "attn.W_KV_down": `${ATTENTION}.kv_a_proj_with_mqa.weight`,
  "attn.kv_latent_norm.w": `${ATTENTION}.kv_a_layernorm.weight`,
  "attn.W_KV_up": `${ATTENTION}.kv_b_proj.weight`,
  "attn.W_O": `${ATTENTION}.o_proj.weight`,
  "mlp.b_choice": "model.layers.{l}.mlp.gate.e_score_correction_bias",
  "mlp.shared.W_gate": `${SHARED}.gate_proj.weight`,
  "mlp.shared.W_up": `${SHARED}.up_proj.weight`,
  "mlp.shared.W_down": `${SHARED}.down_proj.weight`,
};

/**
 * DeepSeek-V3: latent attention, first blocks dense, then experts chosen by sigmoids within groups beside a shared one.
 * Layers past the last, for predicting several tokens at once (`model.layers.61.*`), are left unread, as transformers
 * leaves them. Experts outside the best groups count as −Infinity, as in transformers 5 and DeepSeek's own code;
 * transformers 4 counted them as 0, which differs where a bias makes a chosen one negative.
 * @see DeepSeek-AI 2024, arXiv:2412.19437
 */
export const deepseek3: Family = {
  name: "deepseek_v3",
  modelTypes: ["deepseek_v3"],
  ignored: ROPE_TABLES,
  ignoredLayers: true,

  config(json) {
    const top = new Fields("config.json", json);
    refuseBiases(top);
    top.only("scoring_func", ["sigmoid"]);
    top.only("topk_method", ["noaux_tc"]);
    top.only("moe_layer_freq", [1]);
    checkQuantization(top);
    const { latent, dHead } = latentConfig(top);
    // Its head_dim is that of the rotated dimensions, in files that have one.
    const shape = { ...llamaConfig(top, 10000, { yarn: true, quantized: true }), dHead };
    const activation = activationOf(top);
    const yarn = yarnConfig(top, shape.nCtx);
    const nDense = top.number("first_k_dense_replace", 3);
    const dense = { kind: "dense", dFf: top.number("intermediate_size"), activation } as const;
    const [dFf, nShared] = [top.number("moe_intermediate_size"), top.numberOrNull("n_shared_experts", null) ?? 0];
    return {
      family: "deepseek_v3",
      ...shape,
      ...(yarn === undefined ? {} : { yarn }),
      latent,
      clipQkv: null,
      ...(nDense === 0 ? {} : { denseBlocks: { layers: [...Array(nDense).keys()], mlp: dense } }),
      mlp: {
        kind: "moe",
        nExperts: top.number("n_routed_experts"),
        topK: top.number("num_experts_per_tok"),
        dFf,
        activation,
        gating: gatingConfig(top),
        loadBalanceWeight: top.number("aux_loss_alpha", 0),
        ...(nShared === 0 ? {} : { dShared: nShared * dFf }),
      },
    };
  },

  toJson(config) {
    const mlp = moeOf(config, config.family);
    const { latent, denseBlocks } = config;
    if (mlp.gating.kind !== "sigmoid" || latent === undefined)
      throw new ConfigError("config: a deepseek_v3 must have latent attention and sigmoid gating, got others");
    const { nGroups, topGroups, normalize, scale } = mlp.gating;
    return {
      architectures: ["DeepseekV3ForCausalLM"],
      model_type: "deepseek_v3",
      ...llamaJson(config),
      head_dim: latent.dRope, // so transformers calls it
      ...yarnJson(config.yarn),
      q_lora_rank: latent.qRank,
      kv_lora_rank: latent.kvRank,
      qk_nope_head_dim: config.dHead - latent.dRope,
      qk_rope_head_dim: latent.dRope,
      v_head_dim: latent.dValue,
      rope_interleave: latent.interleaved,
      intermediate_size: denseBlocks?.mlp.dFf ?? mlp.dFf,
      first_k_dense_replace: denseBlocks?.layers.length ?? 0,
      n_routed_experts: mlp.nExperts,
      num_experts_per_tok: mlp.topK,
      moe_intermediate_size: mlp.dFf,
      n_shared_experts: (mlp.dShared ?? 0) / mlp.dFf,
      n_group: nGroups,
      topk_group: topGroups,
      norm_topk_prob: normalize,
      routed_scaling_factor: scale,
      scoring_func: "sigmoid",
      topk_method: "noaux_tc",
      aux_loss_alpha: mlp.loadBalanceWeight,
    };
  },

  recipe(param, config, held) {
    const [, layer = "", part = ""] = /^blocks\.(\d+)\.(.+)$/.exec(param) ?? [];
    const tensor = OWN_TENSORS[part]?.replace("{l}", layer);
    const recipe =
      tensor === undefined
        ? recipeOf([EXPERTS_APART, EXPERTS_FUSED], param, config, held)
        : ownRecipe(tensor, part, config, config.latent!);
    return { ...recipe, parts: recipe.parts.map((one) => scaledIfHeld(one, held)) };
  },
};

function checkQuantization(top: Fields): void {
  const quantization = top.object("quantization_config");
  quantization.only("quant_method", ["fp8"]);
  quantization.only("fmt", ["e4m3"]);
  quantization.only("weight_block_size", [[128, 128]]);
}

function latentConfig(top: Fields): { latent: LatentConfig; dHead: number } {
  const dRope = top.number("qk_rope_head_dim");
  return {
    dHead: top.number("qk_nope_head_dim") + dRope,
    latent: {
      qRank: top.numberOrNull("q_lora_rank", null),
      kvRank: top.number("kv_lora_rank"),
      dRope,
      dValue: top.number("v_head_dim"),
      interleaved: top.flag("rope_interleave", true),
    },
  };
}

function gatingConfig(top: Fields): SigmoidGating {
  return {
    kind: "sigmoid",
    nGroups: top.number("n_group"),
    topGroups: top.number("topk_group"),
    normalize: top.flag("norm_topk_prob", true),
    scale: top.number("routed_scaling_factor", 1),
  };
}

function ownRecipe(
  tensor: string,
  part: string,
  { dModel, nHeads, dHead, mlp }: ModelConfig,
  { qRank, kvRank, dRope, dValue }: LatentConfig,
): WeightRecipe {
  const [dShared, nExperts] = mlp.kind === "moe" ? [mlp.dShared!, mlp.nExperts] : [0, 0];
  switch (part) {
    case "mlp.b_choice":
      return plain(tensor, [nExperts]);
    case "attn.q_latent_norm.w":
      return plain(tensor, [qRank!]);
    case "attn.kv_latent_norm.w":
      return plain(tensor, [kvRank]);
    case "attn.W_Q":
      return turned(tensor, [nHeads * dHead, dModel]);
    case "attn.W_Q_down":
      return turned(tensor, [qRank!, dModel]);
    case "attn.W_Q_up":
      return turned(tensor, [nHeads * dHead, qRank!]);
    case "attn.W_KV_down":
      return turned(tensor, [kvRank + dRope, dModel]);
    case "attn.W_KV_up":
      return turned(tensor, [nHeads * (dHead - dRope + dValue), kvRank]);
    case "attn.W_O":
      return turned(tensor, [dModel, nHeads * dValue]);
    case "mlp.shared.W_down":
      return turned(tensor, [dModel, dShared]);
    default: // gate and up of the shared expert
      return turned(tensor, [dShared, dModel]);
  }
}

/** A matrix is FP8 where the file has factors of its squares. */
function scaledIfHeld(part: WeightPart, held: Held = () => undefined): WeightPart {
  const scales = `${part.tensor}_scale_inv`;
  return held(scales) === undefined ? part : { ...part, scaling: { format: "fp8", scales } };
}
