import type { EncoderDecoderConfig } from "../encoderDecoderConfig.ts";
import { plain, turned, type WeightPart, type WeightRecipe } from "./family.ts";
import { Fields } from "./fields.ts";

/** The module of each part of a block in the file; cross-attention moves the MLP from place 1 to 2 in a decoder. */
const PLACES = { ln1: 0, attn: 0, ln_cross: 1, cross: 1, ln2: -1, mlp: -1 } as const;
const MLP: Readonly<Record<string, string>> = { W_gate: "wi_0", W_up: "wi_1", W_down: "wo" };

/**
 * mT5 and what was made of it, such as Aya-101: an encoder and a decoder. Its head is one of its own, and transformers
 * reads it so whatever a configuration says; a file without one gets the embedding, whose input is not scaled (as
 * transformers 4 scaled it, and 5 does not).
 * @see Xue et al. 2021, arXiv:2010.11934; Üstün et al. 2024, arXiv:2402.07827
 */
export const mt5 = {
  name: "mt5",
  modelTypes: ["mt5"],
  /** Other names of the embedding, and a table that early files have for a bias that is never added. */
  ignored: /^(encoder|decoder)\.embed_tokens\.weight$|\.EncDecAttention\.relative_attention_bias\.weight$/,

  /** @throws ConfigError */
  config(json: Record<string, unknown>): EncoderDecoderConfig {
    const top = new Fields("config.json", json);
    top.only("feed_forward_proj", ["gated-gelu"]);
    top.only("is_encoder_decoder", [true]);
    const nEncoderLayers = top.number("num_layers");
    return {
      family: "mt5",
      nEncoderLayers,
      nDecoderLayers: top.numberOrNull("num_decoder_layers", null) ?? nEncoderLayers,
      dModel: top.number("d_model"),
      nHeads: top.number("num_heads"),
      dHead: top.number("d_kv"),
      dFf: top.number("d_ff"),
      dVocab: top.number("vocab_size"),
      normEps: top.number("layer_norm_epsilon", 1e-6),
      activation: "geluTanh",
      nBuckets: top.number("relative_attention_num_buckets", 32),
      maxDistance: top.number("relative_attention_max_distance", 128),
      startToken: top.number("decoder_start_token_id", 0),
      tiedEmbeddings: top.flag("tie_word_embeddings", false),
    };
  },

  /** Where a parameter (a name of `encoderDecoderShapes`) comes from. */
  recipe(param: string, config: EncoderDecoderConfig): WeightRecipe {
    const { dModel, dVocab, nBuckets, nHeads } = config;
    if (param === "embed.W_E") return plain("shared.weight", [dVocab, dModel]);
    if (param === "unembed.W_U") return turned("lm_head.weight", [dVocab, dModel]);
    const [, stack, rest] = /^(encoder|decoder)\.(.+)$/.exec(param) as unknown as [string, string, string];
    if (rest === "ln_final.w") return plain(`${stack}.final_layer_norm.weight`, [dModel]);
    if (rest === "W_position_bias")
      return plain(`${stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight`, [nBuckets, nHeads]);
    const [, l, module, part] = /^blocks\.(\d+)\.(\w+)\.(\w+)$/.exec(rest) as unknown as [
      string,
      string,
      keyof typeof PLACES,
      string,
    ];
    const last = stack === "decoder" ? 2 : 1;
    const place = PLACES[module] === -1 ? last : PLACES[module];
    return blockRecipe(`${stack}.block.${l}.layer.${place}`, module, part, config);
  },
};

function blockRecipe(
  layer: string,
  module: keyof typeof PLACES,
  part: string,
  { dModel, dFf, nHeads, dHead }: EncoderDecoderConfig,
): WeightRecipe {
  if (part === "w") return plain(`${layer}.layer_norm.weight`, [dModel]);
  if (module === "mlp")
    return turned(`${layer}.DenseReluDense.${MLP[part]}.weight`, part === "W_down" ? [dModel, dFf] : [dFf, dModel]);
  const attention = `${layer}.${module === "attn" ? "SelfAttention" : "EncDecAttention"}`;
  if (part === "W_O") return turned(`${attention}.o.weight`, [dModel, nHeads * dHead]);
  const projection = (letter: string): WeightPart => ({
    tensor: `${attention}.${letter}.weight`,
    shape: [nHeads * dHead, dModel],
    transposed: true,
  });
  return { join: "columns", parts: part.slice(2).toLowerCase().split("").map(projection) };
}
