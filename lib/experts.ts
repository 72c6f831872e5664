import * as tf from "@tensorflow/tfjs";
import { busyExperts, type Dispatch } from "./dispatch.ts";
import { type ExpertBlock, type ExpertSettings, runBlocks } from "./expertBlocks.ts";
import { product } from "./ops/product.ts";
import { rowsTogether } from "./rowsTogether.ts";
import type { BlockTaps } from "./taps.ts";

/**
 * The weights of one layer's experts. Outputs stand first, x·Wᵀ: a product packs its weights anew each time, and where the
 * rows of [in, out] are a power of 2 long, or a small multiple of one, what it packs falls on the same few lines of the
 * processor's cache. [out, in] took 0.7 to 1.1 of the time on most shapes, and down to half (`bench/products.ts`). It is also
 * how most checkpoints hold experts, which are then read as they lie.
 */
export interface ExpertWeights extends ExpertSettings {
  /** Hidden width of one expert. */
  dFf: number;
  /** All experts in one tensor each; null where there is none, and experts run one by one. */
  stacked: ExpertStack | null;
  /** One expert's three matrices, [d_ff, d_model] twice and [d_model, d_ff]. */
  one(expert: number): { gate: tf.Tensor2D; up: tf.Tensor2D; down: tf.Tensor2D };
  /** Whether gradients of the weights are taken. */
  trained?: boolean;
  /** Told which experts have tokens, before their products. */
  expect?(busy: readonly number[]): void;
}

export interface ExpertStack {
  /** [n_experts, d_ff, d_model] */
  gate: tf.Tensor3D;
  /** [n_experts, d_ff, d_model] */
  up: tf.Tensor3D;
  /** [n_experts, d_model, d_ff] */
  down: tf.Tensor3D;
}

/**
 * Runs each expert on the tokens routed to it and puts the outputs back in slot order.
 * The form is chosen by the loads alone, never by who watches, so that watching changes no bit.
 * @param x what the experts read, [rows, d_model]
 * @returns each assignment's output before weighting, [rows*top_k, d_model]
 */
export function runExperts(x: tf.Tensor2D, plan: Dispatch, weights: ExpertWeights, taps: BlockTaps): tf.Tensor2D {
  const { stacked, dFf, trained = false } = weights;
  weights.expect?.(busyExperts(plan));
  // On wasm a batched product is one after the other, and prepares each expert's matrix anew; a tensor's is prepared once.
  const batches = tf.getBackend() === "tensorflow" || trained;
  const together = batches ? rowsTogether(plan.counts, x.shape[1] * dFf, trained) : 0;
  return tf.tidy(() =>
    stacked === null || together === 0
      ? expertsLooped(x, plan, weights, taps)
      : expertsBatched(x, plan, { ...weights, stacked }, taps, together),
  );
}

/** Expert by expert, on exactly its tokens. */
export function expertsLooped(x: tf.Tensor2D, plan: Dispatch, weights: ExpertWeights, taps: BlockTaps): tf.Tensor2D {
  const blocks = busyExperts(plan).map((expert): ExpertBlock => {
    const count = plan.counts[expert]!;
    return {
      rows: count,
      runs: [{ expert, start: 0, first: 0, count }],
      product: (own, part) => product(own, () => weights.one(expert)[part], true),
    };
  });
  return runBlocks(x, blocks, plan, weights, taps);
}

/**
 * All experts at once: `together` rows of each in one batched product, padded where an expert has fewer, and what fuller
 * experts have beyond that by itself.
 * @param together rows of each expert; default: those of the fullest, so that nothing is left over
 */
export function expertsBatched(
  x: tf.Tensor2D,
  plan: Dispatch,
  weights: ExpertWeights & { stacked: ExpertStack },
  taps: BlockTaps,
  together: number = Math.max(...plan.counts),
): tf.Tensor2D {
  const { counts } = plan;
  const busy = busyExperts(plan);
  const batch: ExpertBlock = {
    rows: counts.length * together,
    runs: busy.map((expert) => {
      return { expert, start: expert * together, first: 0, count: Math.min(counts[expert]!, together) };
    }),
    product: (rows, part) => {
      const own = rows.reshape<tf.Tensor3D>([counts.length, together, -1]);
      return product(own, () => weights.stacked[part], true).reshape([rows.shape[0], -1]);
    },
  };
  const over = busy.filter((expert) => counts[expert]! > together);
  return runBlocks(
    x,
    over.length === 0 ? [batch] : [batch, leftOver(over, plan, weights, together)],
    plan,
    weights,
    taps,
  );
}

/** What experts have beyond the rows that were batched: expert by expert, in one block. */
function leftOver(
  over: readonly number[],
  { counts }: Dispatch,
  weights: ExpertWeights,
  together: number,
): ExpertBlock {
  const sizes = over.map((expert) => counts[expert]! - together);
  const ends = sizes.map((_, i) => sizes.slice(0, i + 1).reduce((a, b) => a + b));
  return {
    rows: ends.at(-1)!,
    runs: over.map((expert, i) => {
      return { expert, start: ends[i]! - sizes[i]!, first: together, count: sizes[i]! };
    }),
    product: (rows, part) =>
      tf.tidy(() => {
        const own = tf.split<tf.Tensor2D>(rows, sizes);
        return tf.concat(over.map((expert, i) => product(own[i]!, () => weights.one(expert)[part], true)));
      }),
  };
}
