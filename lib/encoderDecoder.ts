import * as tf from "@tensorflow/tfjs";
import { ActivationCache } from "./cache.ts";
import { dense } from "./dense.ts";
import {
  checkEncoderDecoderConfig,
  type EncoderDecoderConfig,
  encoderDecoderShapes,
  layersOf,
  type Stack,
} from "./encoderDecoderConfig.ts";
import {
  type EncoderDecoderHook,
  encoderDecoderHookNames,
  encoderDecoderTable,
  type StackBlockHook,
} from "./encoderDecoderHooks.ts";
import { type Hooks, matchNames, noSuchHook } from "./hooks.ts";
import { attention, causalMask } from "./ops/attention.ts";
import { positionBias } from "./ops/positionBias.ts";
import { rmsNorm } from "./ops/rmsNorm.ts";
import { checkParams } from "./params.ts";
import { HookRun, type Kept } from "./taps.ts";
import { checkTokens, type Tokens } from "./tokens.ts";

/** The encoder's text, and the decoder's, of which each token is followed by what its logits say. */
export interface TextPair {
  source: Tokens;
  /** Begins with `config.startToken`; left out: only that. As many sequences as `source`. */
  target?: Tokens;
}

export interface EncoderDecoderCacheOptions {
  /** Names or globs of what to keep, such as `["decoder.blocks.*.cross.hook_pattern"]`; default: every hook. */
  names?: string | readonly string[];
  /** Hooks to run as well; the cache keeps what they leave. */
  hooks?: Hooks<EncoderDecoderHook>;
}

/** One stack's run. */
interface StackRun {
  stack: Stack;
  batch: number;
  pos: number;
  /** Added to the scores of self-attention, [n_heads, q_pos, k_pos]. */
  bias: tf.Tensor3D;
  /** What cross-attention reads: the encoder's output, [batch*k_pos, d_model]; null in the encoder. */
  memory: tf.Tensor2D | null;
  taps: HookRun<EncoderDecoderHook>;
}

/** Relative positions reach any distance: a text may be as long as an axis can be. */
const LONGEST = 1 << 24;

/**
 * An encoder-decoder transformer (mT5) whose every intermediate value has a name (`ENCODER_DECODER_HOOKS`): those of
 * {@link MoeModel} under `encoder.` and `decoder.`, and cross-attention's. Texts run together are equally long.
 * Tensors that its methods return belong to the caller; a run leaves nothing else behind.
 */
export class EncoderDecoderModel {
  readonly config: EncoderDecoderConfig;
  readonly #params: ReadonlyMap<string, tf.Tensor>;

  /**
   * @param params one tensor for each name of `encoderDecoderShapes(config)`; the model owns them from here on
   * @throws ConfigError, or CheckpointError for a parameter that is missing or has another shape
   */
  constructor(config: EncoderDecoderConfig, params: ReadonlyMap<string, tf.Tensor>) {
    this.config = checkEncoderDecoderConfig(config);
    checkParams(encoderDecoderShapes(config), params);
    this.#params = params;
  }

  /** The parameters by name, as the constructor got them. */
  get params(): ReadonlyMap<string, tf.Tensor> {
    return this.#params;
  }

  /** Every hook of this model, in the order in which they fire. */
  get hookNames(): EncoderDecoderHook[] {
    return encoderDecoderHookNames(this.config);
  }

  /**
   * Runs the model.
   * @returns logits, [batch, pos, d_vocab], at every position of the target
   * @throws RangeError for tokens that are empty, ragged or out of the vocabulary, and for unequal numbers of sequences
   * @example const logits = model.run({ source: [17, 3, 1], target: [0, 5] }); // [1, 2, d_vocab]
   */
  run(texts: TextPair): tf.Tensor3D {
    return this.#run(texts, {}, null);
  }

  /**
   * Runs the model with hooks that live for this call; a tensor that a hook returns replaces the value.
   * @throws as {@link EncoderDecoderModel.run}; RangeError for an unknown hook, ShapeError for a replacement of another
   * shape
   * @example model.runWithHooks(texts, { "decoder.blocks.0.hook_cross_out": (x) => tf.zerosLike(x) });
   */
  runWithHooks(texts: TextPair, hooks: Hooks<EncoderDecoderHook>): tf.Tensor3D {
    return this.#run(texts, hooks, null);
  }

  /**
   * Runs the model and keeps activations.
   * @returns what `run` returns, and the cache; the caller disposes both
   * @throws as {@link EncoderDecoderModel.runWithHooks}
   * @example const { logits, cache } = model.runWithCache(texts, { names: "decoder.blocks.*.cross.hook_pattern" });
   */
  runWithCache(
    texts: TextPair,
    { names = "*", hooks = {} }: EncoderDecoderCacheOptions = {},
  ): { logits: tf.Tensor3D; cache: ActivationCache<EncoderDecoderHook> } {
    const all = this.hookNames;
    const cache = new ActivationCache<EncoderDecoderHook>();
    const kept = { names: matchNames(names, all, (glob) => noSuchHook(glob, all)), cache };
    try {
      return { logits: this.#run(texts, hooks, kept), cache };
    } catch (error) {
      cache.dispose();
      throw error;
    }
  }

  /** Lets go of the weights. */
  dispose(): void {
    tf.dispose([...this.#params.values()]);
  }

  #run(
    { source, target = [] }: TextPair,
    hooks: Hooks<EncoderDecoderHook>,
    kept: Kept<EncoderDecoderHook> | null,
  ): tf.Tensor3D {
    const { config } = this;
    const limits = { nCtx: LONGEST, dVocab: config.dVocab };
    const from = checkTokens(source, limits, 0);
    const starts = Array.from({ length: from.batch }, () => [config.startToken]);
    const to = checkTokens(target.length === 0 ? starts : target, limits, 0);
    const { batch } = from;
    if (to.batch !== batch)
      throw new RangeError(`run: target must have as many sequences as source (${batch}), got ${to.batch}`);
    const sizes = { batch, sourcePos: from.pos, targetPos: to.pos };
    const taps = new HookRun(encoderDecoderTable(config, sizes), hooks, kept);
    return tf.tidy(() => {
      const memory = this.#runStack("encoder", from.ids, { batch, pos: from.pos, memory: null, taps });
      const x = this.#runStack("decoder", to.ids, { batch, pos: to.pos, memory, taps });
      const head = this.#param<tf.Tensor2D>(config.tiedEmbeddings ? "embed.W_E" : "unembed.W_U");
      const logits = taps.tap("logits", tf.matMul<tf.Tensor2D>(x, head, false, config.tiedEmbeddings));
      return logits.reshape<tf.Tensor3D>([batch, to.pos, config.dVocab]);
    });
  }

  /** A stack from token ids to what its final norm leaves, [batch*pos, d_model]. */
  #runStack(stack: Stack, ids: Int32Array, rest: Omit<StackRun, "stack" | "bias">): tf.Tensor2D {
    return tf.tidy(() => {
      const { config } = this;
      const { pos, taps } = rest;
      const embedded = tf.gather(this.#param<tf.Tensor2D>("embed.W_E"), tf.tensor1d(ids, "int32"));
      let x = taps.tap(`${stack}.hook_embed`, embedded); // [batch*pos, d_model]
      const options = { ...config, bidirectional: stack === "encoder" };
      const relative = positionBias(this.#param(`${stack}.W_position_bias`), pos, options);
      const tapped = taps.tap(`${stack}.hook_position_bias`, relative);
      const mask = stack === "decoder" ? causalMask(pos, 0) : null;
      const run = { ...rest, stack, bias: mask === null ? tapped : tapped.add<tf.Tensor3D>(mask) };
      for (let l = 0; l < layersOf(config, stack); l++) x = this.#block(x, l, run);
      return this.#norm(x, `${stack}.ln_final`, (hook, value) => taps.tap(`${stack}.ln_final.${hook}`, value));
    });
  }

  #block(residPre: tf.Tensor2D, l: number, run: StackRun): tf.Tensor2D {
    return tf.tidy(() => {
      const path = `${run.stack}.blocks.${l}` as const;
      const tap = <T extends tf.Tensor>(hook: StackBlockHook, value: T): T =>
        run.taps.tap(`${path}.${hook}` as EncoderDecoderHook, value);
      const norm = (x: tf.Tensor2D, name: "ln1" | "ln2" | "ln_cross"): tf.Tensor2D =>
        this.#norm(x, `${path}.${name}`, (hook, value) => tap(`${name}.${hook}`, value));
      const x = tap("hook_resid_pre", residPre);
      const attended = tap("hook_attn_out", this.#selfAttention(norm(x, "ln1"), path, run, tap));
      const mid = tap("hook_resid_mid", this.#afterCross(x.add(attended), path, run, tap, norm));
      const weights = {
        kind: "dense",
        activation: this.config.activation,
        gate: { w: this.#param<tf.Tensor2D>(`${path}.mlp.W_gate`), b: null },
        up: { w: this.#param<tf.Tensor2D>(`${path}.mlp.W_up`), b: null },
        down: { w: this.#param<tf.Tensor2D>(`${path}.mlp.W_down`), b: null },
      } as const;
      const out = tap("hook_mlp_out", dense(norm(mid, "ln2"), weights, { tap }));
      return tap("hook_resid_post", mid.add<tf.Tensor2D>(out));
    });
  }

  #selfAttention(x: tf.Tensor2D, path: string, { batch, pos, bias }: StackRun, tap: Tap): tf.Tensor2D {
    const { nHeads, dHead } = this.config;
    const qkv = x.matMul(this.#param(`${path}.attn.W_QKV`)).reshape([batch, pos, 3 * nHeads, dHead]);
    const [q, k, v] = tf.split<tf.Tensor4D>(qkv, 3, 2) as [tf.Tensor4D, tf.Tensor4D, tf.Tensor4D];
    return this.#attend({ q, k, v, bias }, path, "attn", tap);
  }

  /** The residual stream after cross-attention; as it is where there is none. */
  #afterCross(
    x: tf.Tensor2D,
    path: string,
    { batch, pos, memory }: StackRun,
    tap: Tap,
    norm: (x: tf.Tensor2D, name: "ln_cross") => tf.Tensor2D,
  ): tf.Tensor2D {
    if (memory === null) return x;
    const { nHeads, dHead } = this.config;
    const before = tap("hook_resid_cross", x);
    const normed = norm(before, "ln_cross");
    const q = normed.matMul(this.#param(`${path}.cross.W_Q`)).reshape<tf.Tensor4D>([batch, pos, nHeads, dHead]);
    const kv = memory.matMul(this.#param(`${path}.cross.W_KV`)).reshape<tf.Tensor4D>([batch, -1, 2 * nHeads, dHead]);
    const [k, v] = tf.split<tf.Tensor4D>(kv, 2, 2) as [tf.Tensor4D, tf.Tensor4D];
    return before.add(tap("hook_cross_out", this.#attend({ q, k, v, bias: null }, path, "cross", tap)));
  }

  /** From queries, keys and values, each [batch, pos, n_heads, d_head], to what is added: [batch*pos, d_model]. */
  #attend(
    { q, k, v, bias }: { q: tf.Tensor4D; k: tf.Tensor4D; v: tf.Tensor4D; bias: tf.Tensor3D | null },
    path: string,
    kind: "attn" | "cross",
    tap: Tap,
  ): tf.Tensor2D {
    return tf.tidy(() => {
      const { nHeads, dHead } = this.config;
      const query = tap(`${kind}.hook_q`, q).transpose<tf.Tensor4D>([0, 2, 1, 3]);
      const keys = tap(`${kind}.hook_k`, k).transpose<tf.Tensor4D>([0, 2, 1, 3]);
      const values = tap(`${kind}.hook_v`, v).transpose<tf.Tensor4D>([0, 2, 1, 3]);
      const scoring = { scale: 1, softcap: null, mask: bias };
      const z = attention(query, { keys, values }, scoring, {
        scores: (scores) => tap(`${kind}.hook_attn_scores`, scores),
        pattern: (pattern) => tap(`${kind}.hook_pattern`, pattern),
      });
      const heads = tap(`${kind}.hook_z`, z).reshape<tf.Tensor2D>([-1, nHeads * dHead]);
      return tf.matMul<tf.Tensor2D>(heads, this.#param(`${path}.${kind}.W_O`));
    });
  }

  #norm(
    x: tf.Tensor2D,
    name: string,
    tap: (hook: "hook_scale" | "hook_normalized", value: tf.Tensor2D) => tf.Tensor2D,
  ): tf.Tensor2D {
    const gain = this.#param<tf.Tensor1D>(`${name}.w`);
    const normed = rmsNorm(x, gain, this.config.normEps, (scale) => tap("hook_scale", scale));
    return tap("hook_normalized", normed);
  }

  #param<T extends tf.Tensor>(name: string): T {
    return this.#params.get(name) as T;
  }
}

type Tap = <T extends tf.Tensor>(hook: StackBlockHook, value: T) => T;
