import type { ModelConfig } from "../config.ts";
import { expectedDistinctExperts } from "../metrics/distinctExperts.ts";
import { weightParts } from "./weightParts.ts";

/** What runs through a model at once. */
export interface Pass {
  /** Tokens over all sequences. */
  tokens: number;
  /** Tokens whose logits are wanted. */
  logits: number;
  /** Positions that a token attends to, on average. */
  context: number;
  /** Positions whose keys and values are read from memory, over all sequences. */
  cached: number;
}

/** One more token for each of some users, whose texts are `context` tokens long. */
export function decodePass(users: number, context: number): Pass {
  return { tokens: users, logits: users, context, cached: users * context };
}

/** A whole prompt; each token attends to itself and what stands before it. */
export function prefillPass(prompt: number): Pass {
  return { tokens: prompt, logits: 1, context: (prompt + 1) / 2, cached: prompt };
}

/** Work and traffic of one part of a pass. A multiplication and an addition are two FLOPs. */
export interface Cost {
  flops: number;
  bytes: number;
}

export interface PassCosts {
  /** What every token goes through: projections, router, dense MLPs, unembedding, norms. */
  shared: Cost;
  /** Routed experts; those that no token needs are not read. */
  experts: Cost;
  /** Scores and weighted values, with keys and values read and written. */
  attention: Cost;
  /** Different experts of a layer that are read, on average; 0 in a dense model. */
  distinctExperts: number;
}

/** FLOPs of one multiply-add. */
const MULTIPLY_ADD = 2;

/**
 * What a pass through a model costs by its shapes alone. Weights are read once for all tokens of the pass; activations are
 * taken to stay on the chip. Experts are drawn at random: see `expectedDistinctExperts`.
 * @param bytesPerValue of weights, keys and values; 2 for 16 bits
 * @example passCosts(DBRX, decodePass(1, 2000)).experts.bytes // 63.4e9: 4 of 16 experts in each of 40 layers
 * @see Williams, Waterman and Patterson 2009, "Roofline: an insightful visual performance model"
 */
export function passCosts(config: ModelConfig, pass: Pass, bytesPerValue = 2): PassCosts {
  const { nLayers, nHeads, dHead, latent, mlp } = config;
  const parts = weightParts(config);
  const [nExperts, topK] = mlp.kind === "moe" ? [mlp.nExperts, mlp.topK] : [1, 0];
  const distinct = mlp.kind === "moe" ? expectedDistinctExperts(nExperts, topK, pass.tokens) : 0;
  const everyToken = parts.attention + parts.router + parts.dense;
  const head = config.dVocab * config.dModel;
  return {
    shared: {
      flops: MULTIPLY_ADD * (pass.tokens * everyToken + pass.logits * head),
      bytes: bytesPerValue * (everyToken + head + parts.norms + pass.tokens * config.dModel),
    },
    experts: {
      flops: MULTIPLY_ADD * pass.tokens * parts.experts * (topK / nExperts),
      bytes: bytesPerValue * parts.experts * (distinct / nExperts),
    },
    attention: {
      // Each head multiplies a query with every key, and every value with its weight.
      flops: MULTIPLY_ADD * nLayers * nHeads * (dHead + (latent?.dValue ?? dHead)) * pass.context * pass.tokens,
      bytes: kvCacheBytes(config, pass.cached + pass.tokens, bytesPerValue),
    },
    distinctExperts: distinct,
  };
}

/** FLOPs of one more token, whose text is `context` tokens long: about twice the active parameters, and attention. */
export function flopsPerToken(config: ModelConfig, context: number): number {
  const { shared, experts, attention } = passCosts(config, decodePass(1, context));
  return shared.flops + experts.flops + attention.flops;
}

/**
 * Bytes that the keys and values of some tokens take, or, with latent attention, the vectors that they are made of.
 * @example kvCacheBytes(DBRX, 1) // 163840: 40 layers, keys and values of 8 heads of 128, 2 bytes each
 */
export function kvCacheBytes(config: ModelConfig, tokens: number, bytesPerValue = 2): number {
  const { nLayers, nKvHeads, dHead, latent } = config;
  const perLayer = latent === undefined ? 2 * nKvHeads * dHead : latent.kvRank + latent.dRope;
  return nLayers * perLayer * bytesPerValue * tokens;
}
