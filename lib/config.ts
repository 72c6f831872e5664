import { ConfigError, shown } from "./errors.ts";

/**
 * How router logits become expert weights.
 * - `softmaxThenTopK`: softmax over all experts, top-k of the probabilities, then divide the k weights by their
 *   p-norm (`normalize` 1: they sum to 1; 2: unit Euclidean length; null: left as they are). DBRX, Mixtral, OLMoE, Grok-1.
 * - `topKThenSoftmax`: top-k of the logits, then softmax over the k. gpt-oss, Granite. Equal to the first with
 *   `normalize: 1` up to rounding, and to nothing else.
 */
export type Gating =
  | { kind: "softmaxThenTopK"; normalize: number | null }
  | { kind: "topKThenSoftmax" }
  | SigmoidGating;

/**
 * The sigmoid of each logit; a bias, which only the choice sees, is added; of `nGroups` equal groups of experts the
 * `topGroups` with the largest sums of their two best stay; then top-k of what is left. The weights are the sigmoids,
 * divided by their sum where `normalize` says so, times `scale`. DeepSeek-V3.
 * @see DeepSeek-AI 2024, arXiv:2412.19437, eq. 13–16; DeepSeek-AI 2024, arXiv:2405.04434, section 2.2.2, for groups
 */
export interface SigmoidGating {
  kind: "sigmoid";
  nGroups: number;
  topGroups: number;
  normalize: boolean;
  scale: number;
}

/** `geluTanh` and `geluSigmoid`, x · sigmoid(1.702 x), are approximations of GELU. */
export type Activation = "silu" | "gelu" | "geluTanh" | "geluSigmoid";

/** The sparse MLP of a block: routed experts, each a gated linear unit. */
export interface MoeConfig {
  kind: "moe";
  nExperts: number;
  topK: number;
  /** Hidden width of one expert. */
  dFf: number;
  /** What the gate projection goes through. */
  activation: Activation;
  gating: Gating;
  /** Weight of the load-balancing loss that the model was, or is to be, trained with. */
  loadBalanceWeight: number;
  /** The router has a bias, and every projection of an expert. */
  bias?: boolean;
  /** The gate is cut at this, and the up projection at ±this and raised by 1, before they are multiplied. */
  gluLimit?: number;
  /** Hidden width of the shared expert, which every token goes through, unweighted, beside the chosen ones. */
  dShared?: number;
}

/** The dense MLP of a block, which every token goes through: a gated linear unit, or without a gate. */
export interface DenseConfig {
  kind: "dense";
  /** Hidden width. */
  dFf: number;
  /** What the gate projection goes through; without a gate, the up projection. */
  activation: Activation;
  /** There is no gate: down(activation(up(x))). */
  ungated?: boolean;
  /** Every projection has a bias. */
  bias?: boolean;
}

export type MlpConfig = MoeConfig | DenseConfig;

/**
 * RoPE for texts longer than those it was learned on: slow rotations are slowed down further, fast ones are left.
 * @see Peng et al. 2023, arXiv:2309.00071, section 3
 */
export interface YarnConfig {
  /** How many times longer. */
  factor: number;
  /** The length that it was learned on, in tokens. */
  originalCtx: number;
  /** Turns over that length from which a rotation is left as it is, and up to which it is slowed down in full. */
  betaFast: number;
  betaSlow: number;
  /** The dimensions where these two lie are rounded outwards. */
  truncate: boolean;
  /** Factors of ln(factor): in what cosines and sines are multiplied by, and in what scores are. Null: the plain form. */
  mscale: number | null;
  mscaleAllDim: number | null;
}

/**
 * Multi-head latent attention: keys and values are made of one narrow vector for each token, and `dRope` dimensions of a
 * key, alone rotated, are the same for all heads. Of a head's `dHead` dimensions the last `dRope` are those.
 * @see DeepSeek-AI 2024, arXiv:2405.04434, section 2.1
 */
export interface LatentConfig {
  /** Width of the vector that queries are made of; null: they are made of the residual stream. */
  qRank: number | null;
  /** Width of the vector that keys and values are made of. */
  kvRank: number;
  dRope: number;
  /** Width of one head's values. */
  dValue: number;
  /** Pairs to be rotated lie beside each other, (x_2j, x_2j+1); else half of the width apart. */
  interleaved: boolean;
}

/**
 * A model in the field's terms, whatever the family's own configuration calls them: a decoder of pre-norm blocks. The
 * optional fields are what some families do differently; a field that is absent stands for the plain form.
 */
export interface ModelConfig {
  family: string;
  nLayers: number;
  dModel: number;
  nHeads: number;
  nKvHeads: number;
  dHead: number;
  dVocab: number;
  /** Longest sequence in tokens. */
  nCtx: number;
  norm: "layerNorm" | "rmsNorm";
  normEps: number;
  /** Base of RoPE; null: queries and keys are not rotated. */
  ropeBase: number | null;
  /** Queries, keys and values are clamped to ±this before they are split and rotated; null: no clamp. */
  clipQkv: number | null;
  mlp: MlpConfig;
  /** In a model with experts, the blocks that have none, by their numbers, rising, and what they have instead. */
  denseBlocks?: { layers: readonly number[]; mlp: DenseConfig };
  /** A learned vector for each position is added to the embedding. */
  learnedPositions?: boolean;
  /** Biases of the projections to queries, keys and values and of the one back; and of the norms (LayerNorm alone). */
  attentionBias?: boolean;
  normBias?: boolean;
  /** RoPE is stretched. */
  yarn?: YarnConfig;
  /** In these blocks a query sees only the last `size` positions, its own among them. */
  window?: { size: number; layers: readonly number[] };
  /** Each head has a learned score beside those of the keys: it takes a share of the softmax and adds no value. */
  attentionSinks?: boolean;
  latent?: LatentConfig;
  /** What scores are multiplied by. Absent: 1/sqrt(dHead). */
  attentionScale?: number;
  /** Scores are bent to within ±this: cap · tanh(score / cap), before the mask. */
  attentionSoftcap?: number;
  /** Queries and keys are normalised (RMS) before they are rotated: over each head, or over all heads together. */
  qkNorm?: "head" | "full";
  /** What a block adds to the residual stream is normalised once more before it is added. */
  postNorms?: boolean;
  /** Factors on the embeddings, on what each block adds to the residual stream, and on the logits. Absent: 1. */
  embeddingScale?: number;
  residualScale?: number;
  logitScale?: number;
  /** The unembedding is the embedding, turned. */
  tiedEmbeddings?: boolean;
}

const OPTIONAL_FACTORS = [
  "attentionScale",
  "attentionSoftcap",
  "embeddingScale",
  "residualScale",
  "logitScale",
] as const;
const SIZES = ["dModel", "nHeads", "nKvHeads", "dHead", "dVocab", "nCtx"] as const;

/** Largest size of one axis that is believed: beyond it a config is damaged, and products would lose exactness. */
const MAX_AXIS = 1 << 24;
/** Every layer has its own list of parameters and hooks, which a damaged config must not blow up. */
export const MAX_LAYERS = 1 << 12;
/** A trace holds an expert's number in 16 bits. */
const MAX_EXPERTS = 1 << 16;

/** @throws ConfigError for what is no whole number in the range */
export function checkCount(what: string, value: unknown, most = MAX_AXIS, least = 1): void {
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most)
    throw new ConfigError(`config: ${what} must be a whole number from ${least} to ${most}, got ${shown(value)}`);
}

/** @throws ConfigError for what is no finite number above 0 */
export function checkPositive(what: string, value: unknown): void {
  if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
    throw new ConfigError(`config: ${what} must be a positive number, got ${shown(value)}`);
}

/**
 * Returns the config when it describes a model that can be built.
 * @throws ConfigError naming the field, what it must be and what it is
 */
export function checkConfig(config: ModelConfig): ModelConfig {
  checkCount("nLayers", config.nLayers, MAX_LAYERS);
  for (const field of SIZES) checkCount(field, config[field]);
  if (config.nHeads % config.nKvHeads !== 0)
    throw new ConfigError(`config: nHeads must be a multiple of nKvHeads (${config.nKvHeads}), got ${config.nHeads}`);
  if (config.dHead % 2 !== 0 && config.ropeBase !== null && config.latent === undefined)
    throw new ConfigError(`config: dHead must be even, since RoPE turns pairs, got ${config.dHead}`);
  checkPositive("normEps", config.normEps);
  if (config.ropeBase !== null) checkPositive("ropeBase", config.ropeBase);
  if (config.normBias === true && config.norm === "rmsNorm")
    throw new ConfigError("config: normBias must be of a layerNorm, got an rmsNorm");
  for (const field of OPTIONAL_FACTORS) if (config[field] !== undefined) checkPositive(field, config[field]);
  if (config.clipQkv !== null) checkPositive("clipQkv", config.clipQkv);
  if (config.yarn !== undefined) checkYarn(config.yarn);
  if (config.window !== undefined) checkWindow(config, config.window);
  if (config.latent !== undefined) checkLatent(config, config.latent);
  checkCount("mlp.dFf", config.mlp.dFf);
  if (config.mlp.kind === "moe") checkExperts(config.mlp);
  if (config.denseBlocks !== undefined) checkDenseBlocks(config, config.denseBlocks);
  return config;
}

function checkYarn({ factor, originalCtx, betaFast, betaSlow, mscale, mscaleAllDim }: YarnConfig): void {
  for (const [name, value] of Object.entries({ factor, betaFast, betaSlow })) checkPositive(`yarn.${name}`, value);
  checkCount("yarn.originalCtx", originalCtx);
  for (const [name, value] of Object.entries({ mscale, mscaleAllDim }))
    if (value !== null) checkPositive(`yarn.${name}`, value);
}

function checkWindow({ nLayers }: ModelConfig, { size, layers }: NonNullable<ModelConfig["window"]>): void {
  checkCount("window.size", size);
  if (!isRising(layers, nLayers) || layers.length === 0)
    throw new ConfigError(
      `config: window.layers must be some of the ${nLayers} blocks, in rising order, got ${shown(layers)}`,
    );
}

function checkLatent(config: ModelConfig, { qRank, kvRank, dRope, dValue }: LatentConfig): void {
  for (const [name, value] of Object.entries({ qRank: qRank ?? 1, kvRank, dValue }))
    checkCount(`latent.${name}`, value);
  checkCount(`latent.dRope (dHead is ${config.dHead})`, dRope, config.dHead - 1);
  if (dRope % 2 !== 0) throw new ConfigError(`config: latent.dRope must be even, since RoPE turns pairs, got ${dRope}`);
  if (config.nKvHeads !== config.nHeads)
    throw new ConfigError(`config: nKvHeads must be nHeads (${config.nHeads}) with latent, got ${config.nKvHeads}`);
  const plain = { clipQkv: config.clipQkv ?? undefined, qkNorm: config.qkNorm, attentionBias: config.attentionBias };
  for (const [name, value] of Object.entries(plain))
    if (value !== undefined && value !== false)
      throw new ConfigError(`config: ${name} must be absent with latent, got ${shown(value)}`);
}

function isRising(layers: readonly number[], nLayers: number): boolean {
  return layers.every((l, i) => Number.isInteger(l) && l > (layers[i - 1] ?? -1) && l < nLayers);
}

function checkGroups({ nExperts, topK }: MoeConfig, { nGroups, topGroups, scale }: SigmoidGating): void {
  checkPositive("mlp.gating.scale", scale);
  checkCount(`mlp.gating.nGroups (nExperts is ${nExperts})`, nGroups, nExperts);
  checkCount(`mlp.gating.topGroups (nGroups is ${nGroups})`, topGroups, nGroups);
  const size = nExperts / nGroups;
  if (!Number.isInteger(size) || size < 2)
    throw new ConfigError(`config: mlp.gating.nGroups must be groups of two or more of ${nExperts}, got ${nGroups}`);
  if (topK > topGroups * size)
    throw new ConfigError(
      `config: mlp.topK must be at most ${topGroups * size}, the experts of topGroups, got ${topK}`,
    );
}

function checkExperts(mlp: MoeConfig): void {
  const { nExperts, topK, gating, loadBalanceWeight, gluLimit, dShared } = mlp;
  checkCount("mlp.nExperts", nExperts, MAX_EXPERTS);
  checkCount(`mlp.topK (nExperts is ${nExperts})`, topK, nExperts);
  if (gating.kind === "sigmoid") checkGroups(mlp, gating);
  if (gluLimit !== undefined) checkPositive("mlp.gluLimit", gluLimit);
  if (dShared !== undefined) checkCount("mlp.dShared", dShared);
  if (gating.kind === "softmaxThenTopK" && gating.normalize !== null)
    checkPositive("mlp.gating.normalize", gating.normalize);
  if (loadBalanceWeight !== 0) checkPositive("mlp.loadBalanceWeight", loadBalanceWeight);
}

function checkDenseBlocks(
  { mlp, nLayers }: ModelConfig,
  { layers, mlp: dense }: NonNullable<ModelConfig["denseBlocks"]>,
): void {
  checkCount("denseBlocks.mlp.dFf", dense.dFf);
  if (!isRising(layers, nLayers) || layers.length === 0 || layers.length === nLayers || mlp.kind === "dense")
    throw new ConfigError(
      `config: denseBlocks.layers must be some, not all, of the ${nLayers} blocks of a model with experts, in rising order, got ${shown(layers)}`,
    );
}

/** What the MLP of a block is. */
export function mlpOf({ mlp, denseBlocks }: ModelConfig, layer: number): MlpConfig {
  return denseBlocks?.layers.includes(layer) === true ? denseBlocks.mlp : mlp;
}

/** The numbers of the blocks that have experts. */
export function moeLayers(config: ModelConfig): number[] {
  return Array.from({ length: config.nLayers }, (_, l) => l).filter((l) => mlpOf(config, l).kind === "moe");
}

/**
 * The experts of a model, for what makes sense only with them.
 * @param where who asks, for the message
 * @throws ConfigError for a dense model
 * @example const { nExperts, topK } = moeOf(model.config);
 */
export function moeOf({ mlp, family }: ModelConfig, where = "moeOf"): MoeConfig {
  if (mlp.kind === "moe") return mlp;
  throw new ConfigError(`${where}: the model must have experts, got a dense ${family}, which has no router`);
}
