import { type Activation, checkCount, checkPositive, MAX_LAYERS } from "./config.ts";

/**
 * An encoder-decoder in the field's terms: two stacks of pre-norm (RMS) blocks with one embedding, no biases, no factor on
 * the scores, and a bias by relative position that every self-attention of a stack adds to its own. A block of the decoder
 * also attends to what the encoder's final norm leaves.
 * @see Raffel et al. 2020, arXiv:1910.10683; Xue et al. 2021, arXiv:2010.11934
 */
export interface EncoderDecoderConfig {
  family: string;
  nEncoderLayers: number;
  nDecoderLayers: number;
  dModel: number;
  nHeads: number;
  dHead: number;
  dFf: number;
  dVocab: number;
  normEps: number;
  /** What the gate projection goes through. */
  activation: Activation;
  /** Buckets of relative positions; the encoder has half of them for each direction. */
  nBuckets: number;
  /** Distances from here on share the last bucket. */
  maxDistance: number;
  /** The token that the decoder's text begins with. */
  startToken: number;
  /** The unembedding is the embedding, turned. */
  tiedEmbeddings: boolean;
}

/** The two stacks, in the order in which they run. */
export const STACKS = ["encoder", "decoder"] as const;
export type Stack = (typeof STACKS)[number];

const SIZES = ["dModel", "nHeads", "dHead", "dFf", "dVocab", "maxDistance"] as const;
const MAX_BUCKETS = 1 << 16;

/**
 * Returns the config when it describes a model that can be built.
 * @throws ConfigError naming the field, what it must be and what it is
 */
export function checkEncoderDecoderConfig(config: EncoderDecoderConfig): EncoderDecoderConfig {
  for (const field of ["nEncoderLayers", "nDecoderLayers"] as const) checkCount(field, config[field], MAX_LAYERS);
  for (const field of SIZES) checkCount(field, config[field]);
  checkCount("nBuckets", config.nBuckets, MAX_BUCKETS, 4); // an exact and a far bucket for each direction
  checkCount("startToken", config.startToken, config.dVocab - 1, 0);
  checkPositive("normEps", config.normEps);
  return config;
}

/** Blocks of a stack. */
export function layersOf(config: EncoderDecoderConfig, stack: Stack): number {
  return stack === "encoder" ? config.nEncoderLayers : config.nDecoderLayers;
}

/** Every parameter, by name, with its shape; names and axes as `paramShapes` has them, each stack's under its own name. */
export function encoderDecoderShapes(config: EncoderDecoderConfig): Map<string, number[]> {
  const { dModel, nHeads, dHead, dFf, dVocab, nBuckets } = config;
  const heads = nHeads * dHead;
  const cross: [string, number[]][] = [
    ["ln_cross.w", [dModel]],
    ["cross.W_Q", [dModel, heads]],
    ["cross.W_KV", [dModel, 2 * heads]],
    ["cross.W_O", [heads, dModel]],
  ];
  const block = (stack: Stack): [string, number[]][] => [
    ["ln1.w", [dModel]],
    ["attn.W_QKV", [dModel, 3 * heads]],
    ["attn.W_O", [heads, dModel]],
    ...(stack === "decoder" ? cross : []),
    ["ln2.w", [dModel]],
    ["mlp.W_gate", [dModel, dFf]],
    ["mlp.W_up", [dModel, dFf]],
    ["mlp.W_down", [dFf, dModel]],
  ];
  const shapes = new Map<string, number[]>([["embed.W_E", [dVocab, dModel]]]);
  for (const stack of STACKS) {
    shapes.set(`${stack}.W_position_bias`, [nBuckets, nHeads]);
    for (let l = 0; l < layersOf(config, stack); l++)
      for (const [part, shape] of block(stack)) shapes.set(`${stack}.blocks.${l}.${part}`, shape);
    shapes.set(`${stack}.ln_final.w`, [dModel]);
  }
  return config.tiedEmbeddings ? shapes : shapes.set("unembed.W_U", [dModel, dVocab]);
}

/** Parameters of a model; every text uses all of them. */
export function encoderDecoderCount(config: EncoderDecoderConfig): number {
  return [...encoderDecoderShapes(config).values()].reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);
}
