import * as tf from "@tensorflow/tfjs";
import { attend, type KvCache, type Positions, positionsOf } from "./attend.ts";
import type { ModelConfig } from "./config.ts";
import { type BlockHook, HOOKS, type Hooks } from "./hooks.ts";
import { mlp } from "./mlp.ts";
import { layerNorm } from "./ops/layerNorm.ts";
import { rmsNorm } from "./ops/rmsNorm.ts";
import type { Replays } from "./replays.ts";
import { BlockTaps, Taps, ValuesAside } from "./taps.ts";
import { checkTokens, type Tokens } from "./tokens.ts";
import type { BlockWeights, NormWeights, Weights } from "./weights.ts";

/** One run: how many sequences of how many tokens, what they follow, and who watches. */
export interface Run {
  config: ModelConfig;
  batch: number;
  pos: number;
  /** Keys and values to attend to before this run's own; grown by it. */
  kvCache?: KvCache;
  taps: Taps;
  /** What ran before and can run again; none: nothing is to be remembered. */
  replays?: Replays<BlockHook[]> | null;
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
  const positions = positionsOf(config, pos, run.kvCache?.length ?? 0);
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
    const through = (own: BlockTaps): Middle => throughAttention(x, weights, run, own, positions);
    const [mid, read] = tf.tidy(() => replayed(through, [x, ...tensorsOf(positions)], run, taps) ?? through(taps));
    const mlpOut = tf.tidy(() =>
      taps.tap("hook_mlp_out", asAdded(mlp(read, weights.mlp, taps), weights.ln2Post, config)),
    );
    return taps.tap("hook_resid_post", mid.add<tf.Tensor2D>(mlpOut));
  });
}

/** The residual stream between attention and MLP, and what the MLP reads: both [rows, d_model]. */
type Middle = [mid: tf.Tensor2D, read: tf.Tensor2D];

function throughAttention(
  x: tf.Tensor2D,
  weights: BlockWeights,
  run: Run,
  taps: BlockTaps,
  positions: Positions,
): Middle {
  const { config } = run;
  const attnOut = tf.tidy(() => {
    const ln1 = norm(x, weights.ln1, config, tapOrNull(taps, "ln1.hook_scale"));
    const attended = attend(taps.tap("ln1.hook_normalized", ln1), weights, run, taps, positions);
    return taps.tap("hook_attn_out", asAdded(attended, weights.ln1Post, config));
  });
  const mid = taps.tap("hook_resid_mid", x.add<tf.Tensor2D>(attnOut));
  const ln2 = norm(mid, weights.ln2, config, tapOrNull(taps, "ln2.hook_scale"));
  return [mid, taps.tap("ln2.hook_normalized", ln2)];
}

/** The hooks that {@link throughAttention} shows values to. */
const UP_TO_MLP = Object.keys(HOOKS)
  .map((pattern) => pattern.replace("blocks.{l}.", ""))
  .filter((hook) => /^(ln[12]|attn)\.|^hook_(attn_out|resid_mid)$/.test(hook)) as BlockHook[];

/** Graphs run all queries' blocks side by side: with more scores than this (256 MB), they go one after the other instead. */
const MOST_REPLAYED_SCORES = 1 << 26;

/** Tables and masks. */
function tensorsOf({ rotation, causal, windowed }: Positions): tf.Tensor[] {
  const masks = [...causal, ...(windowed ?? [])].flatMap(({ mask }) => mask ?? []);
  return rotation === null ? masks : [rotation.cos, rotation.sin, ...masks];
}

/**
 * The way up to the MLP as it ran before with inputs of these shapes; null where it may not: a hook changes a value, or more
 * than what it returns is to remain.
 */
function replayed(
  through: (taps: BlockTaps) => Middle,
  inputs: readonly tf.Tensor[],
  { config, batch, pos, kvCache, taps: all, replays }: Run,
  taps: BlockTaps,
): Middle | null {
  if (!replays || kvCache !== undefined || batch * config.nHeads * pos ** 2 > MOST_REPLAYED_SCORES) return null;
  if (UP_TO_MLP.some((hook) => taps.calls(hook))) return null;
  const wanted = UP_TO_MLP.filter((hook) => taps.wants(hook));
  const { outputs, note } = replays.run([taps.layer, batch, ...wanted].join(), inputs, () => {
    const aside = new ValuesAside(all, taps.layer);
    const middle = through(aside);
    return {
      outputs: [...middle, ...aside.values.map(([, value]) => value)],
      note: aside.values.map(([hook]) => hook),
    };
  });
  const [mid, read, ...values] = outputs as [tf.Tensor2D, tf.Tensor2D, ...tf.Tensor[]];
  for (const [i, hook] of note.entries()) taps.tap(hook, values[i]!);
  tf.dispose(values);
  return [mid, read];
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
