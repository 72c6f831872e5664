import * as tf from "@tensorflow/tfjs";
import type { ModelConfig } from "./config.ts";
import type { Hooks } from "./hooks.ts";
import { mlp } from "./mlp.ts";
import { attention, causalMask, type KeyValues } from "./ops/attention.ts";
import { layerNorm } from "./ops/layerNorm.ts";
import { product } from "./ops/product.ts";
import { rmsNorm } from "./ops/rmsNorm.ts";
import { type RopeTables, rope, ropeTables } from "./ops/rope.ts";
import { BlockTaps, Taps } from "./taps.ts";
import { checkTokens, type Tokens } from "./tokens.ts";
import type { BlockWeights, NormWeights, Weights } from "./weights.ts";

/** Keys and values of the tokens before this run, one entry a layer. */
export interface KvCache {
  length: number;
  layers: KeyValues[];
}

/** What depends only on where the tokens of a run stand, made once for all blocks. */
interface Positions {
  /** Null: queries and keys are not rotated. */
  query: RopeTables | null;
  key: RopeTables | null;
  mask: tf.Tensor2D | null;
}

/** One run: how many sequences of how many tokens, what they follow, and who watches. */
export interface Run {
  config: ModelConfig;
  batch: number;
  pos: number;
  /** Keys and values to attend to before this run's own; grown by it. */
  kvCache?: KvCache;
  taps: Taps;
}

/**
 * Token ids to the residual stream that leaves block `nBlocks - 1`.
 * @param ids int32 [batch*pos]
 * @returns [batch*pos, d_model]
 */
export function residual(ids: tf.Tensor1D, weights: Weights, run: Run, nBlocks: number): tf.Tensor2D {
  const { config, pos, taps } = run;
  const x = taps.tap("hook_embed", scaled(weights.embed(ids), config.embeddingScale)); // [batch*pos, d_model]
  const out = blocks(atPositions(x, weights.positions, run), weights, run, 0, nBlocks);
  if (run.kvCache !== undefined) run.kvCache.length += pos;
  return out;
}

/** Adds the learned vector of each position, where the model has them. [batch*pos, d_model] → [batch*pos, d_model] */
function atPositions(x: tf.Tensor2D, learned: tf.Tensor2D | null, { batch, pos, kvCache, taps }: Run): tf.Tensor2D {
  if (learned === null) return x;
  const own = learned.slice([kvCache?.length ?? 0, 0], [pos, -1]);
  return x.add(taps.tap("hook_pos_embed", tf.tile(own, [batch, 1])));
}

/**
 * Runs blocks `from` up to, not including, `to`.
 * @param x the residual stream that enters block `from`, [batch*pos, d_model]
 * @returns [batch*pos, d_model]
 */
export function blocks(x: tf.Tensor2D, weights: Weights, run: Run, from: number, to: number): tf.Tensor2D {
  const { config, pos, taps } = run;
  const past = run.kvCache?.length ?? 0;
  const tables = (heads: number): RopeTables | null =>
    config.ropeBase === null ? null : ropeTables(past, pos, heads, config.dHead, config.ropeBase);
  const positions = { query: tables(config.nHeads), key: tables(config.nKvHeads), mask: causalMask(pos, past) };
  let out = x;
  for (let l = from; l < to; l++) out = block(out, weights.blocks[l]!, run, new BlockTaps(taps, l), positions);
  return out;
}

/**
 * The final norm and the unembedding.
 * @param x residual stream, [rows, d_model]
 * @returns logits, [rows, d_vocab]
 */
export function unembed(x: tf.Tensor2D, weights: Weights, config: ModelConfig, taps: Taps): tf.Tensor2D {
  return tf.tidy(() => {
    const scale = tapOrNull(taps, "ln_final.hook_scale");
    const normalized = taps.tap("ln_final.hook_normalized", norm(x, weights.lnFinal, config, scale));
    return taps.tap("logits", scaled(weights.unembed(normalized), config.logitScale));
  });
}

/**
 * Runs tokens after those that a key-value cache holds, and grows the cache.
 * @returns logits of the last position, [batch, d_vocab]
 * @throws RangeError for tokens that do not fit, and what hooks throw
 */
export function nextLogits(
  tokens: Tokens,
  weights: Weights,
  config: ModelConfig,
  kvCache: KvCache,
  hooks: Hooks,
): tf.Tensor2D {
  const { ids, batch, pos } = checkTokens(tokens, config, kvCache.length);
  const taps = new Taps(config, hooks, { batch, pos, past: kvCache.length });
  return tf.tidy(() => {
    const run = { config, batch, pos, taps, kvCache };
    const x = residual(tf.tensor1d(ids, "int32"), weights, run, config.nLayers);
    const logits = unembed(x, weights, config, taps).reshape<tf.Tensor3D>([batch, pos, -1]);
    return logits.slice([0, pos - 1, 0], [-1, 1, -1]).reshape([batch, -1]);
  });
}

/** A hook to hand on, or null where nobody listens. */
function tapOrNull<H extends string>(
  taps: { wants(hook: H): boolean; tap(hook: H, value: tf.Tensor2D): tf.Tensor2D },
  hook: H,
): ((value: tf.Tensor2D) => tf.Tensor2D) | null {
  return taps.wants(hook) ? (value) => taps.tap(hook, value) : null;
}

function block(
  residPre: tf.Tensor2D,
  weights: BlockWeights,
  run: Run,
  taps: BlockTaps,
  positions: Positions,
): tf.Tensor2D {
  return tf.tidy(() => {
    const { config } = run;
    const x = taps.tap("hook_resid_pre", residPre);
    const ln1 = norm(x, weights.ln1, config, tapOrNull(taps, "ln1.hook_scale"));
    const attended = attend(taps.tap("ln1.hook_normalized", ln1), weights, run, taps, positions);
    const attnOut = taps.tap("hook_attn_out", asAdded(attended, weights.ln1Post, config));
    const mid = taps.tap("hook_resid_mid", x.add<tf.Tensor2D>(attnOut));
    const ln2 = norm(mid, weights.ln2, config, tapOrNull(taps, "ln2.hook_scale"));
    const mixed = mlp(taps.tap("ln2.hook_normalized", ln2), weights.mlp, taps);
    const mlpOut = taps.tap("hook_mlp_out", asAdded(mixed, weights.ln2Post, config));
    return taps.tap("hook_resid_post", mid.add<tf.Tensor2D>(mlpOut));
  });
}

function norm(
  x: tf.Tensor2D,
  { w, b }: NormWeights,
  { norm: kind, normEps }: ModelConfig,
  tapScale: ((scale: tf.Tensor2D) => tf.Tensor2D) | null,
): tf.Tensor2D {
  return kind === "layerNorm" ? layerNorm(x, w, normEps, tapScale, b) : rmsNorm(x, w, normEps, tapScale);
}

/** A sublayer's output as it is added to the residual stream: normalised and scaled where the model does so. */
function asAdded(out: tf.Tensor2D, postNorm: tf.Tensor1D | null, config: ModelConfig): tf.Tensor2D {
  return scaled(postNorm === null ? out : norm(out, { w: postNorm, b: null }, config, null), config.residualScale);
}

function scaled(x: tf.Tensor2D, factor: number | undefined): tf.Tensor2D {
  return factor === undefined ? x : x.mul(factor);
}

/** Attention of one block: project, normalise, clamp, split, rotate, attend, project back. [rows, d_model] → [rows, d_model] */
function attend(
  x: tf.Tensor2D,
  weights: BlockWeights,
  { config, batch, pos, kvCache }: Run,
  taps: BlockTaps,
  positions: Positions,
): tf.Tensor2D {
  return tf.tidy(() => {
    const { nHeads, nKvHeads, dHead, clipQkv } = config;
    const projected = withBias(
      product(x, () => weights.wQkv),
      weights.bQkv,
    );
    const qkv = projected.reshape<tf.Tensor4D>([batch, pos, nHeads + 2 * nKvHeads, dHead]);
    const normed = normHeads(qkv, weights.qNorm, weights.kNorm, config);
    const clipped = clipQkv === null ? normed : normed.clipByValue(-clipQkv, clipQkv);
    const [q, k, v] = tf.split<tf.Tensor4D>(clipped, [nHeads, nKvHeads, nKvHeads], 2) as [
      tf.Tensor4D,
      tf.Tensor4D,
      tf.Tensor4D,
    ];
    const query = taps.tap("attn.hook_q", q);
    const key = taps.tap("attn.hook_k", k);
    const value = taps.tap("attn.hook_v", v);
    const rotQ = positions.query === null ? query : taps.tap("attn.hook_rot_q", rope(query, positions.query));
    const rotK = positions.key === null ? key : taps.tap("attn.hook_rot_k", rope(key, positions.key));
    const keyValues = remember(kvCache, taps.layer, {
      keys: rotK.transpose([0, 2, 1, 3]), // [batch, n_kv_heads, pos, d_head]
      values: value.transpose([0, 2, 1, 3]),
    });
    const scale = config.attentionScale ?? dHead ** -0.5;
    const scoring = { scale, softcap: config.attentionSoftcap ?? null, mask: positions.mask };
    const z = attention(rotQ, keyValues, scoring, {
      scores: (scores) => taps.tap("attn.hook_attn_scores", scores),
      pattern: (pattern) => taps.tap("attn.hook_pattern", pattern),
    });
    const heads = taps.tap("attn.hook_z", z).reshape<tf.Tensor2D>([batch * pos, nHeads * dHead]);
    return withBias(
      product(heads, () => weights.wO),
      weights.bO,
    );
  });
}

function withBias(x: tf.Tensor2D, bias: tf.Tensor1D | null): tf.Tensor2D {
  return bias === null ? x : x.add<tf.Tensor2D>(bias);
}

/**
 * Normalises queries and keys over each head, or over all heads together, where the model does so.
 * @param qkv [batch, pos, n_heads + 2·n_kv_heads, d_head]
 * @see Dehghani et al. 2023, arXiv:2302.05442, section 2
 */
function normHeads(
  qkv: tf.Tensor4D,
  qNorm: tf.Tensor1D | null,
  kNorm: tf.Tensor1D | null,
  { nHeads, nKvHeads, qkNorm, normEps }: ModelConfig,
): tf.Tensor4D {
  if (qNorm === null || kNorm === null) return qkv;
  const [q, k, v] = tf.split<tf.Tensor4D>(qkv, [nHeads, nKvHeads, nKvHeads], 2);
  const [batch, pos] = qkv.shape;
  const normalised = (heads: tf.Tensor4D, gain: tf.Tensor1D): tf.Tensor => {
    if (qkNorm === "head") return rmsNorm(heads, gain, normEps, null);
    return rmsNorm(heads.reshape([batch, pos, -1]), gain, normEps, null).reshape(heads.shape);
  };
  return tf.concat([normalised(q!, qNorm), normalised(k!, kNorm), v!], 2) as tf.Tensor4D;
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
