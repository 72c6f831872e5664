import * as tf from "@tensorflow/tfjs";
import type { LatentConfig, ModelConfig } from "./config.ts";
import { type AttentionTap, attention, causalBlocks, type KeyValues, type QueryBlock } from "./ops/attention.ts";
import { product } from "./ops/product.ts";
import { rmsNorm } from "./ops/rmsNorm.ts";
import { apart, type RopeTables, rope, ropeTables, yarnScoreFactor } from "./ops/rope.ts";
import type { BlockTaps } from "./taps.ts";
import type { BlockWeights, LatentWeights, QkvWeights } from "./weights.ts";

/** Keys and values of the tokens before this run, one entry a layer. */
export interface KvCache {
  length: number;
  layers: KeyValues[];
}

/** What depends only on where the tokens of a run stand, made once for all blocks. */
export interface Positions {
  /** Null: queries and keys are not rotated. */
  rotation: RopeTables | null;
  /** The queries, in blocks with their masks. */
  causal: readonly QueryBlock[];
  /** The same for the layers whose queries see only a window; null: there are none. */
  windowed: readonly QueryBlock[] | null;
}

/** A run, as far as attention knows it. */
interface AttendedRun {
  config: ModelConfig;
  batch: number;
  pos: number;
  kvCache?: KvCache;
}

/** Queries and keys, rotated, and values: [batch, heads, pos, width]. */
interface Heads {
  rotQ: tf.Tensor4D;
  rotK: tf.Tensor4D;
  value: tf.Tensor4D;
}

/** The norm of latent attention's narrow vectors has the reference's own epsilon, whatever the model's is. */
const LATENT_NORM_EPS = 1e-6;

/** Tables and masks of `pos` tokens that follow `past` others. */
export function positionsOf(config: ModelConfig, pos: number, past: number): Positions {
  const { latent, ropeBase, yarn, window } = config;
  const group = config.nHeads / config.nKvHeads;
  return {
    rotation: ropeBase === null ? null : ropeTables(past, pos, latent?.dRope ?? config.dHead, ropeBase, yarn),
    causal: causalBlocks(pos, past, group),
    windowed: window === undefined ? null : causalBlocks(pos, past, group, window.size),
  };
}

/**
 * Attention of one block: queries, keys and values, attend, project back.
 * @param x [rows, d_model]
 * @returns [rows, d_model]
 */
export function attend(
  x: tf.Tensor2D,
  weights: BlockWeights,
  run: AttendedRun,
  taps: BlockTaps,
  positions: Positions,
): tf.Tensor2D {
  return tf.tidy(() => {
    const { config } = run;
    const { qkv, sinks } = weights;
    const { rotQ, rotK, value } =
      qkv.kind === "plain"
        ? plainHeads(x, qkv, run, taps, positions)
        : latentHeads(x, qkv, config.latent!, run, taps, positions);
    const keyValues = remember(run.kvCache, taps.layer, { keys: rotK, values: value });
    const stretched = config.yarn === undefined ? 1 : yarnScoreFactor(config.yarn);
    const inWindow = config.window?.layers.includes(taps.layer) === true;
    const scoring = {
      scale: config.attentionScale ?? config.dHead ** -0.5 * stretched,
      softcap: config.attentionSoftcap ?? null,
      mask: inWindow ? positions.windowed : positions.causal,
      sinks,
    };
    const watch = (hook: "attn.hook_attn_scores" | "attn.hook_pattern"): AttentionTap =>
      taps.wants(hook) ? (seen) => taps.tap(hook, seen) : null;
    const z = attention(rotQ, keyValues, scoring, {
      scores: watch("attn.hook_attn_scores"),
      pattern: watch("attn.hook_pattern"),
    });
    const heads = taps.tap("attn.hook_z", z).reshape<tf.Tensor2D>([x.shape[0], -1]);
    return withBias(
      product(heads, () => weights.wO),
      weights.bO,
    );
  });
}

/** Project, split, normalise, clamp, rotate. */
function plainHeads(
  x: tf.Tensor2D,
  weights: QkvWeights,
  { config, batch, pos }: AttendedRun,
  taps: BlockTaps,
  positions: Positions,
): Heads {
  const { nHeads, nKvHeads, dHead, clipQkv } = config;
  const [q, k, v] = tf.tidy(() => {
    const projected = withBias(
      product(x, () => weights.w),
      weights.b,
    );
    const qkv = projected.reshape<tf.Tensor4D>([batch, pos, nHeads + 2 * nKvHeads, dHead]);
    return tf.split<tf.Tensor4D>(qkv, [nHeads, nKvHeads, nKvHeads], 2) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
  });
  const clipped = (heads: tf.Tensor4D): tf.Tensor4D =>
    clipQkv === null ? heads : tf.clipByValue(heads, -clipQkv, clipQkv);
  const query = tf.tidy(() => taps.tap("attn.hook_q", clipped(normHeads(q, weights.qNorm, config))));
  const key = tf.tidy(() => taps.tap("attn.hook_k", clipped(normHeads(k, weights.kNorm, config))));
  const value = taps.tap("attn.hook_v", clipped(v));
  const { rotation } = positions;
  const rotated = (hook: RotatedHook, heads: tf.Tensor4D): tf.Tensor4D =>
    rotation === null ? headsFirst(heads) : tf.tidy(() => tapRotated(taps, hook, rope(headsFirst(heads), rotation)));
  return {
    rotQ: rotated("attn.hook_rot_q", query),
    rotK: rotated("attn.hook_rot_k", key),
    value: headsFirst(value),
  };
}

type RotatedHook = "attn.hook_rot_q" | "attn.hook_rot_k";

/** [batch, pos, heads, width] → [batch, heads, pos, width], and back. */
function headsFirst(x: tf.Tensor4D): tf.Tensor4D {
  return x.transpose([0, 2, 1, 3]);
}

/** Shows heads that were rotated as all hooks see heads, positions first. */
function tapRotated(taps: BlockTaps, hook: RotatedHook, heads: tf.Tensor4D): tf.Tensor4D {
  return taps.wants(hook) ? headsFirst(taps.tap(hook, headsFirst(heads))) : heads;
}

/**
 * Down to narrow vectors, up to heads, rotate the last dimensions of queries and keys; those of keys are made of x
 * directly and are the same for all heads. Rotated pairs come out half of the width apart, however they lay before.
 */
function latentHeads(
  x: tf.Tensor2D,
  weights: LatentWeights,
  { kvRank, dRope, dValue, interleaved }: LatentConfig,
  { config, batch, pos }: AttendedRun,
  taps: BlockTaps,
  positions: Positions,
): Heads {
  const { nHeads, dHead } = config;
  const dNope = dHead - dRope;
  const { qDown } = weights;
  const narrowed = (): tf.Tensor2D => product(x, () => qDown!.w);
  const narrow = qDown === null ? x : rmsNorm(narrowed(), qDown.norm, LATENT_NORM_EPS, null);
  const q = product(narrow, () => weights.qUp).reshape<tf.Tensor4D>([batch, pos, nHeads, dHead]);
  const down = product(x, () => weights.kvDown);
  const [compressed, rotary] = tf.split<tf.Tensor2D>(down, [kvRank, dRope], -1) as [tf.Tensor2D, tf.Tensor2D];
  const latent = taps.tap("attn.hook_latent", rmsNorm(compressed, weights.kvNorm, LATENT_NORM_EPS, null));
  const up = product(latent, () => weights.kvUp);
  const kv = up.reshape<tf.Tensor4D>([batch, pos, nHeads, dNope + dValue]);
  const [kNope, v] = tf.split<tf.Tensor4D>(kv, [dNope, dValue], -1) as [tf.Tensor4D, tf.Tensor4D];
  const shared = tf.tile(rotary.reshape<tf.Tensor4D>([batch, pos, 1, dRope]), [1, 1, nHeads, 1]);
  const query = taps.tap("attn.hook_q", q);
  const key = taps.tap("attn.hook_k", tf.concat([kNope, shared], -1));
  const value = taps.tap("attn.hook_v", v);
  const { rotation } = positions;
  const rotated = (heads: tf.Tensor4D): tf.Tensor4D => {
    if (rotation === null) return heads;
    const [still, turning] = tf.split<tf.Tensor4D>(heads, [dNope, dRope], -1) as [tf.Tensor4D, tf.Tensor4D];
    return tf.concat([still, rope(interleaved ? apart(turning) : turning, rotation)], -1);
  };
  return {
    rotQ: tapRotated(taps, "attn.hook_rot_q", rotated(headsFirst(query))),
    rotK: tapRotated(taps, "attn.hook_rot_k", rotated(headsFirst(key))),
    value: headsFirst(value),
  };
}

function withBias(x: tf.Tensor2D, bias: tf.Tensor1D | null): tf.Tensor2D {
  return bias === null ? x : x.add<tf.Tensor2D>(bias);
}

/**
 * Normalises queries or keys over each head, or over all their heads together, where the model does so.
 * @param heads [batch, pos, heads, d_head]
 * @param gain [d_head] or [heads·d_head]; null: they are left as they are
 * @see Dehghani et al. 2023, arXiv:2302.05442, section 2
 */
function normHeads(heads: tf.Tensor4D, gain: tf.Tensor1D | null, { qkNorm, normEps }: ModelConfig): tf.Tensor4D {
  if (gain === null) return heads;
  if (qkNorm === "head") return rmsNorm(heads, gain, normEps, null);
  const [batch, pos] = heads.shape;
  return rmsNorm(heads.reshape([batch, pos, -1]), gain, normEps, null).reshape(heads.shape);
}

/** Appends this run's keys and values to the cache, if there is one, and returns all that may be attended to. */
function remember(cache: KvCache | undefined, layer: number, own: KeyValues): KeyValues {
  if (cache === undefined) return own;
  const before = cache.layers[layer];
  const all =
    before === undefined
      ? own
      : { keys: tf.concat([before.keys, own.keys], 2), values: tf.concat([before.values, own.values], 2) };
  cache.layers[layer] = { keys: tf.keep(all.keys), values: tf.keep(all.values) };
  if (before !== undefined) tf.dispose([before.keys, before.values]);
  return all;
}
