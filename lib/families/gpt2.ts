import type { Activation } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { paramShapes } from "../params.ts";
import { type Family, plain, turned, type WeightRecipe } from "./family.ts";
import { Fields } from "./fields.ts";

/** What the file calls each parameter outside the blocks, and in them; matrices lie as [in, out], as we keep them. */
const NAMES: Readonly<Record<string, string>> = {
  "embed.W_E": "wte.weight",
  "embed.W_pos": "wpe.weight",
  "ln_final.w": "ln_f.weight",
  "ln_final.b": "ln_f.bias",
  "ln1.w": "ln_1.weight",
  "ln1.b": "ln_1.bias",
  "attn.W_QKV": "attn.c_attn.weight",
  "attn.b_QKV": "attn.c_attn.bias",
  "attn.W_O": "attn.c_proj.weight",
  "attn.b_O": "attn.c_proj.bias",
  "ln2.w": "ln_2.weight",
  "ln2.b": "ln_2.bias",
  "mlp.W_up": "mlp.c_fc.weight",
  "mlp.b_up": "mlp.c_fc.bias",
  "mlp.W_down": "mlp.c_proj.weight",
  "mlp.b_down": "mlp.c_proj.bias",
};

/** By transformers' names; `gelu_new` and `gelu_pytorch_tanh` are the same approximation. */
const ACTIVATIONS: Readonly<Record<string, Activation>> = {
  gelu_new: "geluTanh",
  gelu_pytorch_tanh: "geluTanh",
  gelu: "gelu",
  silu: "silu",
};

/** GPT-2: learned positions, biases everywhere, no gate. @see Radford et al. 2019, section 2.3 */
export const gpt2: Family = {
  name: "gpt2",
  modelTypes: ["gpt2"],
  ignored: /(^|\.)attn\.(bias|masked_bias)$/, // the causal mask, as old files hold it

  config(json) {
    const top = new Fields("config.json", json);
    for (const other of ["scale_attn_by_inverse_layer_idx", "add_cross_attention"]) top.only(other, [false]);
    top.only("scale_attn_weights", [true]);
    const [dModel, nHeads] = [top.number("n_embd"), top.number("n_head")];
    if (dModel % nHeads !== 0) throw top.error("n_embd", `a multiple of n_head (${nHeads})`);
    return {
      family: "gpt2",
      nLayers: top.number("n_layer"),
      dModel,
      nHeads,
      nKvHeads: nHeads,
      dHead: dModel / nHeads,
      dVocab: top.number("vocab_size"),
      nCtx: top.number(top.nameOf("n_positions", "n_ctx")),
      norm: "layerNorm",
      normBias: true,
      normEps: top.number("layer_norm_epsilon", 1e-5),
      ropeBase: null,
      learnedPositions: true,
      attentionBias: true,
      clipQkv: null,
      tiedEmbeddings: top.flag("tie_word_embeddings", true),
      mlp: {
        kind: "dense",
        dFf: top.numberOrNull("n_inner", null) ?? 4 * dModel,
        activation: top.choice("activation_function", ACTIVATIONS),
        ungated: true,
        bias: true,
      },
    };
  },

  toJson: (config) => ({
    architectures: ["GPT2LMHeadModel"],
    model_type: "gpt2",
    n_embd: config.dModel,
    n_layer: config.nLayers,
    n_head: config.nHeads,
    n_positions: config.nCtx,
    n_inner: config.mlp.dFf,
    vocab_size: config.dVocab,
    layer_norm_epsilon: config.normEps,
    activation_function: Object.keys(ACTIVATIONS).find((name) => ACTIVATIONS[name] === config.mlp.activation),
    tie_word_embeddings: config.tiedEmbeddings === true,
  }),

  // The file holds every parameter as we do.
  recipe(param, config, held = () => undefined): WeightRecipe {
    const shape = paramShapes({ ...config, tiedEmbeddings: false }).get(param);
    const [, layer, part = param] = /^blocks\.(\d+)\.(.+)$/.exec(param) ?? [];
    if (shape === undefined) throw new ConfigError(`config: parameters must be those of a gpt2, got ${param}`);
    if (part === "unembed.W_U") return turned("lm_head.weight", shape.toReversed());
    // The published files name the bare model; transformers writes the one with a head.
    const prefix = held("transformer.wte.weight") === undefined ? "" : "transformer.";
    return plain(`${prefix}${layer === undefined ? "" : `h.${layer}.`}${NAMES[part]}`, shape);
  },
};
