import { parseRun, type TrainingRun } from "../../lib/train/run.ts";

/** A model of the studies: what it differs in from the others, which all have the same size, text, rate and seeds. */
export interface Variant {
  name: string;
  nExperts: number;
  topK: number;
  /** Hidden width of an expert. */
  dFf: number;
  loadBalanceWeight: number;
  zLossWeight: number;
  /** It is trained with the seeds 1, 2 … up to this. */
  nSeeds: number;
}

const BASE: Variant = {
  name: "experts-16-top-4",
  nExperts: 16,
  topK: 4,
  dFf: 64,
  loadBalanceWeight: 0.05,
  zLossWeight: 0,
  nSeeds: 5,
};

/**
 * The models of the four studies, in the order of training. `dense-active` computes as much for a token as four of the
 * sixteen experts, `dense-total` holds as many parameters as all of them; `experts-8-top-2` has Mixtral's numbers at
 * equal parameters, total and active.
 */
export const VARIANTS: readonly Variant[] = [
  BASE,
  { ...BASE, name: "no-balance", loadBalanceWeight: 0, nSeeds: 3 },
  { ...BASE, name: "z-loss", zLossWeight: 0.001, nSeeds: 3 },
  { ...BASE, name: "experts-8-top-2", nExperts: 8, topK: 2, dFf: 128 },
  { ...BASE, name: "dense-active", nExperts: 1, topK: 1, dFf: 256, loadBalanceWeight: 0 },
  { ...BASE, name: "dense-total", nExperts: 1, topK: 1, dFf: 1024, loadBalanceWeight: 0 },
];

/** Pieces of the studies' own tokenizer: few, since so short a run would spend itself on learning what rare ones are. */
export const N_PIECES = 1024;

export const STEPS = 400;

/** Steps after which a model reads the probe text. */
export const PROBE_STEPS: readonly number[] = [1, 2, 4, 8, 16, 32, 64, 90, 128, 180, 250, 300, 350, STEPS];

/**
 * The run of a variant. The rate stays the same after the warm-up, so that the loss at any step is that of a run which
 * ends there.
 */
export function studyRun({ nExperts, topK, dFf, loadBalanceWeight, zLossWeight }: Variant, seed: number): TrainingRun {
  return parseRun({
    model: {
      model_type: "dbrx",
      d_model: 64,
      n_heads: 4,
      n_layers: 2,
      max_seq_len: 128,
      vocab_size: N_PIECES,
      attn_config: { kv_n_heads: 2, clip_qkv: 8, rope_theta: 500000 },
      ffn_config: {
        ffn_hidden_size: dFf,
        moe_num_experts: nExperts,
        moe_top_k: topK,
        moe_normalize_expert_weights: 1,
        moe_loss_weight: loadBalanceWeight,
      },
    },
    batch: 8,
    pos: 128,
    steps: STEPS,
    seed,
    rate: 0.003,
    finalRate: 0.003,
    warmupSteps: 50,
    weightDecay: 0.1,
    zLossWeight,
    checkpointEvery: 1,
  });
}
