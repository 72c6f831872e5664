import * as tf from "@tensorflow/tfjs";
import type { KvCache } from "./attend.ts";
import { checkShape } from "./axes.ts";
import { ActivationCache } from "./cache.ts";
import { checkConfig, type ModelConfig } from "./config.ts";
import { type Decoder, decoderOf, plainDecoder } from "./decoder.ts";
import { ConfigError } from "./errors.ts";
import { blocks, nextLogits, residual, unembed } from "./forward.ts";
import { type BlockHook, type HookName, type Hooks, hookNames, matchHooks } from "./hooks.ts";
import { checkParams, paramShapes } from "./params.ts";
import { Replays } from "./replays.ts";
import { type Kept, Taps } from "./taps.ts";
import { checkTokens, type Tokens } from "./tokens.ts";
import { assembleWeights, type Weights } from "./weights.ts";

export interface RunOptions {
  /** Run only the blocks before this one and return the residual stream; negative counts from the end. */
  stopAtLayer?: number;
}

export interface CacheOptions extends RunOptions {
  /** Names or globs of what to keep, such as `["blocks.*.mlp.hook_router_*"]`; default: every hook. */
  names?: string | readonly string[];
  /** Hooks to run as well; the cache keeps what they leave. */
  hooks?: Hooks;
}

/** Weights that are read when they are used. */
export interface StreamedModelWeights {
  readonly weights: Weights;
  /** Bytes that were read so far. */
  readonly bytesRead: number;
  dispose(): Promise<void>;
}

/**
 * A transformer, with experts or dense, whose every intermediate value has a name ({@link HOOKS}).
 * Tensors that its methods return belong to the caller; a run leaves nothing else behind.
 */
export class MoeModel {
  readonly config: ModelConfig;
  readonly weights: Weights;
  /** Where the weights are read from, of a model that does not hold them. */
  readonly streamed: StreamedModelWeights | null;
  readonly #params: ReadonlyMap<string, tf.Tensor>;
  readonly #experts = new Map<string, tf.Tensor[]>();
  /** What blocks did before; null where weights come and go. */
  readonly #replays: Replays<BlockHook[]> | null;
  #decoder: Promise<Decoder> | null = null;

  /**
   * @param source one tensor for each name of `paramShapes(config)`, or weights that are read when they are used; they are
   * the model's to let go from here on
   * @throws ConfigError, or CheckpointError for a parameter that is missing or has another shape
   */
  constructor(config: ModelConfig, source: ReadonlyMap<string, tf.Tensor> | StreamedModelWeights) {
    this.config = checkConfig(config);
    this.streamed = "weights" in source ? source : null;
    this.#params = "weights" in source ? new Map() : source;
    this.#replays = this.streamed === null ? new Replays(() => this.#params.values()) : null;
    if ("weights" in source) {
      this.weights = source.weights;
      return;
    }
    checkParams(paramShapes(config), source);
    this.weights = assembleWeights(config, source, (name, e) => this.#expert(name, e));
  }

  /**
   * The parameters by name, as the constructor got them.
   * @throws ConfigError for a streamed model, which holds none
   */
  get params(): ReadonlyMap<string, tf.Tensor> {
    if (this.streamed === null) return this.#params;
    throw new ConfigError(
      "params: the model must be in memory, got one that is streamed; load it without memoryBudget",
    );
  }

  /** Every hook of this model, in the order in which they fire. */
  get hookNames(): HookName[] {
    return hookNames(this.config);
  }

  /**
   * Runs the model.
   * @returns logits, [batch, pos, d_vocab]; with `stopAtLayer` the residual stream, [batch, pos, d_model]
   * @throws RangeError for tokens that are empty, ragged, out of the vocabulary or longer than the context
   * @example const logits = model.run([5, 17, 3]); // [1, 3, d_vocab]
   */
  run(tokens: Tokens, options: RunOptions = {}): tf.Tensor3D {
    return this.runWithHooks(tokens, {}, options);
  }

  /**
   * Runs the model with hooks that live for this call; a tensor that a hook returns replaces the value.
   * @throws as {@link MoeModel.run}; RangeError for an unknown hook, ShapeError for a replacement of another shape
   * @example model.runWithHooks(tokens, { "blocks.0.hook_mlp_out": (x) => tf.zerosLike(x) });
   */
  runWithHooks(tokens: Tokens, hooks: Hooks, options: RunOptions = {}): tf.Tensor3D {
    return this.#run(tokens, hooks, options, null);
  }

  /**
   * Runs the model and keeps activations.
   * @returns what `run` returns, and the cache; the caller disposes both
   * @throws as {@link MoeModel.runWithHooks}
   * @example const { logits, cache } = model.runWithCache(tokens, { names: "blocks.*.attn.hook_pattern" });
   */
  runWithCache(tokens: Tokens, options: CacheOptions = {}): { logits: tf.Tensor3D; cache: ActivationCache } {
    const { names = "*", hooks = {}, ...rest } = options;
    const cache = new ActivationCache();
    const kept = { names: matchHooks(names, this.config), cache };
    try {
      return { logits: this.#run(tokens, hooks, rest, kept), cache };
    } catch (error) {
      cache.dispose();
      throw error;
    }
  }

  /**
   * Runs the blocks from `layer` on, as if those before it had left this residual stream. Many runs that differ only from
   * some layer on, or that read any residual stream by the unembedding, need no more than this.
   * @param residPre what enters block `layer`, [batch, pos, d_model]
   * @param layer from 0; with n_layers only the final norm and the unembedding run
   * @returns logits, [batch, pos, d_vocab]
   * @throws RangeError for a layer that is not there or sequences that are too long; ShapeError for another width; and as
   * {@link MoeModel.runWithHooks}
   * @example model.runFrom(cache.get("blocks.2.hook_resid_pre"), 2, ablateExperts(2, [3], "zero"))
   */
  runFrom(residPre: tf.Tensor, layer: number, hooks: Hooks = {}): tf.Tensor3D {
    const { config, weights } = this;
    if (!Number.isInteger(layer) || layer < 0 || layer > config.nLayers)
      throw new RangeError(`runFrom: layer must be from 0 to ${config.nLayers}, got ${layer}`);
    checkShape("runFrom", residPre.shape, ["batch", "pos", "d_model"], { d_model: config.dModel });
    const [batch, pos] = residPre.shape as [number, number, number];
    if (pos < 1 || pos > config.nCtx)
      throw new RangeError(`runFrom: a sequence must be 1 to ${config.nCtx} tokens long (nCtx), got ${pos}`);
    const taps = new Taps(config, hooks, { batch, pos, past: 0 });
    const missed = Object.keys(hooks).find((name) => name === "hook_embed" || layerOf(name) < layer);
    if (missed !== undefined)
      throw new RangeError(`runFrom: a hook must stand at block ${layer} or later, got ${missed}`);
    return tf.tidy(() => {
      const x = residPre.reshape<tf.Tensor2D>([batch * pos, config.dModel]);
      const out = blocks(x, weights, { config, batch, pos, taps, replays: this.#replays }, layer, config.nLayers);
      return unembed(out, weights, config, taps).reshape<tf.Tensor3D>([batch, pos, -1]);
    });
  }

  /**
   * Runs further tokens after those that a key-value cache holds, and grows the cache.
   * @returns logits of the last position, [batch, d_vocab]
   * @throws as {@link MoeModel.runWithHooks}
   */
  extend(tokens: Tokens, kvCache: KvCache, hooks: Hooks = {}): tf.Tensor2D {
    return nextLogits(tokens, this.weights, this.config, kvCache, hooks);
  }

  /** What runs single tokens fastest for this model; made at the first call, let go with the model. */
  decoder(): Promise<Decoder> {
    this.#decoder ??= this.streamed === null ? decoderOf(this) : Promise.resolve(plainDecoder(this));
    return this.#decoder;
  }

  /** Lets go of the weights. */
  dispose(): void {
    void this.streamed?.dispose();
    this.#replays?.dispose();
    tf.dispose([...this.#params.values(), ...this.#experts.values()].flat());
    this.#experts.clear();
    void this.#decoder?.then(
      (decoder) => decoder.dispose(),
      () => {}, // whoever asked for it knows
    );
  }

  #run(tokens: Tokens, hooks: Hooks, { stopAtLayer }: RunOptions, kept: Kept | null): tf.Tensor3D {
    const { ids, batch, pos } = checkTokens(tokens, this.config, 0);
    const nBlocks = blocksToRun(stopAtLayer, this.config.nLayers);
    const taps = new Taps(this.config, hooks, { batch, pos, past: 0 }, kept);
    return tf.tidy(() => {
      const run = { config: this.config, batch, pos, taps, replays: this.#replays };
      const x = residual(tf.tensor1d(ids, "int32"), this.weights, run, nBlocks);
      const out = stopAtLayer === undefined ? unembed(x, this.weights, this.config, taps) : x;
      return out.reshape<tf.Tensor3D>([batch, pos, -1]);
    });
  }

  /** One expert's matrix; on `tensorflow` it shares memory with the stack of all experts. Made once, kept. */
  #expert(name: string, e: number): tf.Tensor2D {
    let matrices = this.#experts.get(name);
    if (matrices === undefined) {
      matrices = tf.unstack(this.#params.get(name)!).map((matrix) => tf.keep(matrix));
      this.#experts.set(name, matrices);
    }
    return matrices[e] as tf.Tensor2D;
  }
}

/** The block of a hook's name; infinity after all blocks. */
function layerOf(name: string): number {
  return Number(/^blocks\.(\d+)\./.exec(name)?.[1] ?? Number.POSITIVE_INFINITY);
}

function blocksToRun(stopAtLayer: number | undefined, nLayers: number): number {
  if (stopAtLayer === undefined) return nLayers;
  const stop = stopAtLayer < 0 ? nLayers + stopAtLayer : stopAtLayer;
  if (!Number.isInteger(stop) || stop < 0 || stop > nLayers)
    throw new RangeError(`run: stopAtLayer must be from ${-nLayers} to ${nLayers}, got ${stopAtLayer}`);
  return stop;
}
