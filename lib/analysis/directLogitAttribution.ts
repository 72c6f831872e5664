import * as tf from "@tensorflow/tfjs";
import type { ActivationCache } from "../cache.ts";
import { type ModelConfig, moeLayers } from "../config.ts";
import { ConfigError } from "../errors.ts";
import { type HookName, type Hooks, hookName } from "../hooks.ts";
import type { MoeModel } from "../model.ts";
import type { Weights } from "../weights.ts";

/**
 * What each part of a model adds to one logit at each token. The embedding, attention and MLP of every layer sum to the
 * logit; the heads of a layer sum to its attention, the experts that a token used to its MLP (less a shared expert, if any).
 */
export interface LogitAttribution {
  /** Whose logit it is: [n_tokens]. */
  targets: Int32Array;
  /** What the parts sum to, as the model itself computed it: [n_tokens]. */
  logits: Float32Array;
  /** [n_tokens] */
  embedding: Float32Array;
  /** [n_layers, n_tokens] */
  attention: Float32Array;
  /** [n_layers, n_tokens] */
  mlp: Float32Array;
  /** [n_layers, n_tokens, n_heads] */
  heads: Float32Array;
  /**
   * The experts that each token used, best first, and what each added, weight included: [n_layers, n_tokens, top_k]. NaN in
   * the layers of a model with experts that have none; empty in a dense model.
   */
  expertIndices: Uint16Array;
  experts: Float32Array;
}

export interface AttributionOptions {
  /** Whose logit is attributed at each token: [n_tokens]. The text's next token where absent, and the model's own at the end. */
  targets?: ArrayLike<number>;
  /**
   * What the logit is measured from: 0 where absent; "mean": the mean logit of all tokens, since softmax does not see what
   * all logits share; ids: the logit of another token, one at each place, [n_tokens].
   */
  against?: "mean" | ArrayLike<number>;
  hooks?: Hooks;
}

/**
 * Direct logit attribution: how much each block, head and expert writes towards a token's logit.
 *
 * A norm is not linear, so its scale is frozen: every part is divided by the scale that the whole stream had in this run
 * (`ln_final.hook_scale`), after its own mean is taken away where the norm is a LayerNorm. Then the parts sum to the logit.
 * The same holds for the norms that some families put after attention and MLP. A bias of the output projection is in the
 * attention and in no head. What a part does by way of later layers is not in it.
 * @param tokens one sequence
 * @throws RangeError for targets that are not one token id for each token, and what the model refuses
 * @see Elhage et al. 2021, "A Mathematical Framework for Transformer Circuits"; Wang et al. 2022, arXiv:2211.00593, section 3.1
 * @example directLogitAttribution(model, ids).experts // [n_layers, n_tokens, top_k]
 */
export function directLogitAttribution(
  model: MoeModel,
  tokens: ArrayLike<number>,
  { targets, against, hooks = {} }: AttributionOptions = {},
): LogitAttribution {
  const { config, weights } = model;
  if (config.normBias === true)
    throw new ConfigError(
      `directLogitAttribution: norms must be without bias, which is no part of any block, got a ${config.family}`,
    );
  const n = tokens.length;
  const { logits, cache } = model.runWithCache([tokens], { names: namesOf(config), hooks });
  const last = tf.tidy(
    () =>
      logits
        .slice([0, n - 1], [1, 1])
        .argMax(-1)
        .dataSync()[0]!,
  );
  logits.dispose();
  try {
    const wanted = targets ?? [...Array.from(tokens).slice(1), last];
    checkIds("targets", wanted, n, config.dVocab);
    if (against !== undefined && against !== "mean") checkIds("against", against, n, config.dVocab);
    const readers = { targets: Int32Array.from(wanted), against };
    const direction = tf.tidy(() => readingDirection(readers, weights, config, cache)); // [n_tokens, d_model]
    const layers = Array.from({ length: config.nLayers }, (_, l) => layerParts(l, direction, weights, config, cache));
    const embedding = values(() => along(cache, "hook_embed", direction));
    direction.dispose();
    const joined = (part: Exclude<keyof LayerParts, "expertIndices">): Float32Array =>
      Float32Array.from(layers.flatMap((layer) => [...layer[part]]));
    return {
      targets: readers.targets,
      logits: values(() => measured(cache.get("logits").squeeze([0]), readers)),
      embedding,
      attention: joined("attention"),
      mlp: joined("mlp"),
      heads: joined("heads"),
      expertIndices: Uint16Array.from(layers.flatMap((layer) => [...layer.expertIndices])),
      experts: joined("experts"),
    };
  } finally {
    cache.dispose();
  }
}

function namesOf(config: ModelConfig): string[] {
  return [
    "hook_embed",
    "blocks.*.attn.hook_z",
    "blocks.*.hook_attn_out",
    ...(moeLayers(config).length > 0 ? ["blocks.*.mlp.hook_expert_*"] : []),
    "blocks.*.hook_mlp_out",
    "ln_final.hook_scale",
    "logits",
  ];
}

interface Readers {
  targets: Int32Array;
  against: AttributionOptions["against"];
}

interface LayerParts {
  attention: Float32Array;
  mlp: Float32Array;
  heads: Float32Array;
  expertIndices: Int32Array;
  experts: Float32Array;
}

function checkIds(what: string, ids: ArrayLike<number>, n: number, dVocab: number): void {
  if (ids.length !== n)
    throw new RangeError(`directLogitAttribution: ${what} must be one for each of ${n} tokens, got ${ids.length}`);
  const stray = Array.from(ids).find((id) => !Number.isInteger(id) || id < 0 || id >= dVocab);
  if (stray !== undefined)
    throw new RangeError(`directLogitAttribution: ${what} must be ids from 0 to ${dVocab - 1}, got ${stray}`);
}

/** The logits of the targets, less what they are measured from. @param logits [n_tokens, d_vocab] */
function measured(logits: tf.Tensor, { targets, against }: Readers): tf.Tensor {
  const pick = (ids: ArrayLike<number>): tf.Tensor => {
    const places = Int32Array.from(ids, (id, t) => t * logits.shape[1]! + id);
    return tf.gather(logits.reshape([-1]), tf.tensor1d(places, "int32"));
  };
  if (against === undefined) return pick(targets);
  return pick(targets).sub(against === "mean" ? logits.mean(-1) : pick(against));
}

/** The vector whose dot product with any part of the residual stream is what the part adds to the logit: [n_tokens, d_model]. */
function readingDirection(
  { targets, against }: Readers,
  { unembedding, embedding, lnFinal }: Weights,
  config: ModelConfig,
  cache: ActivationCache,
): tf.Tensor2D {
  const rows = unembedding === null ? embedding : unembedding.transpose(); // [d_vocab, d_model]
  const of = (ids: ArrayLike<number>): tf.Tensor => tf.gather(rows, tf.tensor1d(Int32Array.from(ids), "int32"));
  const base = against === undefined ? null : against === "mean" ? rows.mean(0, true) : of(against);
  const readers = base === null ? of(targets) : of(targets).sub(base);
  const scale = cache.get("ln_final.hook_scale").reshape([-1, 1]);
  return throughNorm(readers.mul(config.logitScale ?? 1), lnFinal.w, scale, config) as tf.Tensor2D;
}

/** A direction that reads a norm's output, as one that reads its input: the norm is linear where its scale is fixed. */
function throughNorm(direction: tf.Tensor, gain: tf.Tensor, scale: tf.Tensor, { norm }: ModelConfig): tf.Tensor {
  const scaled = direction.mul(gain).div(scale);
  return norm === "layerNorm" ? scaled.sub(scaled.mean(-1, true)) : scaled;
}

function layerParts(
  layer: number,
  direction: tf.Tensor2D,
  weights: Weights,
  config: ModelConfig,
  cache: ActivationCache,
): LayerParts {
  const { wO, ln1Post } = weights.blocks[layer]!;
  const n = direction.shape[0];
  return {
    attention: values(() => along(cache, hookName(layer, "hook_attn_out"), direction)),
    mlp: values(() => along(cache, hookName(layer, "hook_mlp_out"), direction)),
    heads: values(() => {
      const z = cache.get(hookName(layer, "attn.hook_z")).reshape([n, -1]);
      const own = beforeAdding(direction, () => z.matMul(wO), ln1Post, config);
      return z
        .mul(own.matMul(wO, false, true))
        .reshape([n, config.nHeads, -1])
        .sum(-1);
    }),
    ...expertParts(layer, direction, weights, config, cache),
  };
}

function expertParts(
  layer: number,
  direction: tf.Tensor2D,
  weights: Weights,
  config: ModelConfig,
  cache: ActivationCache,
): Pick<LayerParts, "experts" | "expertIndices"> {
  if (!moeLayers(config).includes(layer)) {
    const slots = config.mlp.kind === "moe" ? direction.shape[0] * config.mlp.topK : 0;
    return { experts: new Float32Array(slots).fill(Number.NaN), expertIndices: new Int32Array(slots) };
  }
  return {
    expertIndices: cache.get(hookName(layer, "mlp.hook_expert_indices")).dataSync<"int32">(),
    experts: values(() => {
      const outputs = cache.get(hookName(layer, "mlp.hook_expert_out")).squeeze([0]); // [n_tokens, top_k, d_model]
      const mixing = cache.get(hookName(layer, "mlp.hook_expert_weights")).squeeze([0]); // [n_tokens, top_k]
      const whole = (): tf.Tensor => outputs.mul(mixing.expandDims(-1)).sum(1);
      const own = beforeAdding(direction, whole, weights.blocks[layer]!.ln2Post, config);
      return outputs.mul(own.expandDims(1)).sum(-1).mul(mixing);
    }),
  };
}

/** A direction that reads the residual stream, as one that reads a sublayer's output before it is normalised and scaled. */
function beforeAdding(
  direction: tf.Tensor2D,
  whole: () => tf.Tensor,
  gain: tf.Tensor1D | null,
  config: ModelConfig,
): tf.Tensor {
  const scaled = direction.mul(config.residualScale ?? 1);
  if (gain === null) return scaled;
  const out = whole();
  const centred = config.norm === "layerNorm" ? out.sub(out.mean(-1, true)) : out;
  const scale = tf.sqrt(centred.square().mean(-1, true).add(config.normEps));
  return throughNorm(scaled, gain, scale, config);
}

/** What an addition to the residual stream is along each token's direction: [n_tokens]. */
function along(cache: ActivationCache, name: HookName, direction: tf.Tensor2D): tf.Tensor {
  return cache.get(name).squeeze([0]).mul(direction).sum(-1);
}

function values(compute: () => tf.Tensor): Float32Array {
  const tensor = tf.tidy(compute);
  const numbers = tensor.dataSync<"float32">();
  tensor.dispose();
  return numbers;
}
