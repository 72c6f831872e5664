import type { MlpConfig, ModelConfig } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { type Family, type Held, plain, turned, type WeightPart, type WeightRecipe } from "./family.ts";
import { Fields } from "./fields.ts";

/** PyTorch's default, which DBRX uses; its configuration does not name it. */
const LAYER_NORM_EPS = 1e-5;

/**
 * The names in the file for each part of a block; the three expert tensors are flat, [n_experts·d_ff, d_model], and `w2`
 * is used as it lies (hidden · w2), so only `w1` and `v1` are turned.
 */
const BLOCK: Record<string, string> = {
  "ln1.w": "norm_attn_norm.norm_1.weight",
  "attn.W_QKV": "norm_attn_norm.attn.Wqkv.weight",
  "attn.W_O": "norm_attn_norm.attn.out_proj.weight",
  "ln2.w": "norm_attn_norm.norm_2.weight",
  "mlp.W_router": "ffn.router.layer.weight",
  "mlp.W_gate": "ffn.experts.mlp.w1",
  "mlp.W_up": "ffn.experts.mlp.v1",
  "mlp.W_down": "ffn.experts.mlp.w2",
};

/**
 * DBRX (Databricks 2024), and the dense model of the same block, with one gated linear unit in the place of the experts.
 * No other layout of transformers has that block, so the dense one is stored as a DBRX of one expert, in which
 * transformers computes the same: its router, whose weights are then without effect, is written as zeros.
 */
export const dbrx: Family = {
  name: "dbrx",
  modelTypes: ["dbrx"],

  config(json): ModelConfig {
    const top = new Fields("config.json", json);
    const attn = top.object("attn_config");
    const ffn = top.object("ffn_config");
    top.only("tie_word_embeddings", [false]);
    const dModel = top.number("d_model");
    const nHeads = top.number("n_heads");
    if (dModel % nHeads !== 0)
      throw new ConfigError(`config.json: d_model must be a multiple of n_heads (${nHeads}), got ${dModel}`);
    const activation = ffn.object("ffn_act_fn");
    activation.only("name", ["silu"]);
    return {
      family: "dbrx",
      nLayers: top.number("n_layers"),
      dModel,
      nHeads,
      nKvHeads: attn.number("kv_n_heads"),
      dHead: dModel / nHeads,
      dVocab: top.number("vocab_size"),
      nCtx: top.number("max_seq_len"),
      norm: "layerNorm",
      normEps: LAYER_NORM_EPS,
      ropeBase: attn.number("rope_theta"),
      clipQkv: attn.numberOrNull("clip_qkv", null),
      mlp: mlpConfig(ffn),
    };
  },

  ignored: /\.ffn\.router\.layer\.weight$/, // of a dense model; where there are experts it is a parameter
  fillers: ({ mlp, nLayers, dModel }) =>
    Array.from({ length: mlp.kind === "dense" ? nLayers : 0 }, (_, l) => ({
      tensor: `transformer.blocks.${l}.${BLOCK["mlp.W_router"]}`,
      shape: [1, dModel],
    })),

  floatFields: ["moe_normalize_expert_weights", "moe_loss_weight"],

  toJson(config): Record<string, unknown> {
    return {
      architectures: ["DbrxForCausalLM"],
      model_type: "dbrx",
      d_model: config.dModel,
      n_heads: config.nHeads,
      n_layers: config.nLayers,
      max_seq_len: config.nCtx,
      vocab_size: config.dVocab,
      tie_word_embeddings: false,
      // transformers 5 reads the base of RoPE only from here and would else take 10000.
      rope_parameters: { rope_type: "default", rope_theta: config.ropeBase },
      attn_config: { kv_n_heads: config.nKvHeads, clip_qkv: config.clipQkv, rope_theta: config.ropeBase },
      ffn_config: { ffn_hidden_size: config.mlp.dFf, ...expertFields(config.mlp) },
    };
  },

  recipe(param, config, held): WeightRecipe {
    const { dModel, nHeads, nKvHeads, dHead, dVocab, mlp } = config;
    const inBlock = /^blocks\.(\d+)\.(.+)$/.exec(param);
    if (inBlock === null) {
      if (param === "embed.W_E") return plain("transformer.wte.weight", [dVocab, dModel]);
      if (param === "ln_final.w") return plain("transformer.norm_f.weight", [dModel]);
      return turned("lm_head.weight", [dVocab, dModel]);
    }
    const [, layer, part] = inBlock as unknown as [string, string, string];
    const block = `transformer.blocks.${layer}.`;
    const tensor = `${block}${BLOCK[part]}`;
    switch (part) {
      case "attn.W_QKV":
        return turned(tensor, [(nHeads + 2 * nKvHeads) * dHead, dModel]);
      case "attn.W_O":
        return turned(tensor, [dModel, nHeads * dHead]);
      case "mlp.W_router":
        return turned(tensor, [expertsOf(mlp), dModel]);
      case "mlp.W_gate":
      case "mlp.W_up":
      case "mlp.W_down": {
        const parts = apart(block, part, config, held) ?? flat(tensor, part, config);
        return { join: mlp.kind === "dense" ? "none" : "experts", parts };
      }
      default:
        return plain(tensor, [dModel]);
    }
  },
};

function expertsOf(mlp: MlpConfig): number {
  return mlp.kind === "moe" ? mlp.nExperts : 1;
}

/** Each expert's rows in the one tensor of all, as published; the one expert of a dense model is the tensor. */
function flat(tensor: string, part: string, { dModel, mlp }: ModelConfig): WeightPart[] {
  const shape = [expertsOf(mlp) * mlp.dFf, dModel];
  const transposed = part !== "mlp.W_down";
  if (mlp.kind === "dense") return [{ tensor, shape, transposed }];
  return Array.from({ length: mlp.nExperts }, (_, e) => ({
    tensor,
    shape,
    rows: [e * mlp.dFf, (e + 1) * mlp.dFf] as const,
    transposed,
  }));
}

/** Where conversions for other tools keep each expert's matrices by themselves. */
const APART = ["ffn.experts.mlp.{e}.", "ffn.experts.mlp_experts.{e}.", "ffn.experts.{e}."];

/**
 * Each expert's own tensor, or null for a checkpoint that has none. They are [out, in], which turns `w2` round; some
 * conversions left `w2` as it was, which its shape tells (where both shapes are one, it is taken as turned).
 */
function apart(block: string, part: string, { dModel, mlp }: ModelConfig, held: Held | undefined): WeightPart[] | null {
  const name = `${BLOCK[part]!.split(".").at(-1)}.weight`;
  const place = APART.find((path) => held?.(`${block}${path.replace("{e}", "0")}${name}`) !== undefined);
  if (place === undefined) return null;
  const shape = part === "mlp.W_down" ? [dModel, mlp.dFf] : [mlp.dFf, dModel];
  return Array.from({ length: expertsOf(mlp) }, (_, e) => {
    const tensor = `${block}${place.replace("{e}", String(e))}${name}`;
    const asItWas = part === "mlp.W_down" && mlp.dFf !== dModel && held?.(tensor)?.[0] === mlp.dFf;
    return asItWas ? { tensor, shape: shape.toReversed(), transposed: false } : { tensor, shape, transposed: true };
  });
}

/** A router of one expert can only say 1, whatever its weights: with its one expert the model is dense. */
function mlpConfig(ffn: Fields): MlpConfig {
  const nExperts = ffn.number("moe_num_experts");
  const dFf = ffn.number("ffn_hidden_size");
  if (nExperts === 1) ffn.only("moe_top_k", [1]);
  if (nExperts === 1) return { kind: "dense", dFf, activation: "silu" };
  return {
    kind: "moe",
    nExperts,
    topK: ffn.number("moe_top_k"),
    dFf,
    activation: "silu",
    gating: { kind: "softmaxThenTopK", normalize: ffn.numberOrNull("moe_normalize_expert_weights", 1) },
    loadBalanceWeight: ffn.number("moe_loss_weight", 0),
  };
}

/** The fields of `ffn_config` beside the width. */
function expertFields(mlp: MlpConfig): Record<string, unknown> {
  if (mlp.kind === "dense") return { moe_num_experts: 1, moe_top_k: 1, moe_loss_weight: 0 };
  const { nExperts, topK, gating, loadBalanceWeight } = mlp;
  if (gating.kind !== "softmaxThenTopK")
    throw new ConfigError(`config: mlp.gating.kind must be softmaxThenTopK for a dbrx, got ${gating.kind}`);
  return {
    moe_num_experts: nExperts,
    moe_top_k: topK,
    moe_normalize_expert_weights: gating.normalize,
    moe_loss_weight: loadBalanceWeight,
  };
}
