import * as tf from "@tensorflow/tfjs";
import { busyExperts, type Dispatch } from "./dispatch.ts";
import { type ExpertBlock, type ExpertPart, type ExpertSettings, type ExpertStack, runBlocks } from "./expertBlocks.ts";
import { expertsInGraph } from "./expertsGraph.ts";
import { gatedLinear } from "./ops/gatedLinear.ts";
import { product } from "./ops/product.ts";
import { paddingPays } from "./paddingPays.ts";
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
  one(expert: number): Record<ExpertPart, tf.Tensor2D>;
  /** Told which experts have tokens, before their products. */
  expect?(busy: readonly number[]): void;
}

/**
 * Runs each expert on the tokens routed to it and puts the outputs back in slot order.
 * The form is never chosen by who watches, so that watching changes no bit: all in one graph on `tensorflow`; where gradients
 * are taken, all in one batch if that is faster; else one by one.
 * @param x what the experts read, [rows, d_model]
 * @returns each assignment's output before weighting, [rows*top_k, d_model]
 */
export function runExperts(x: tf.Tensor2D, plan: Dispatch, weights: ExpertWeights, taps: BlockTaps): tf.Tensor2D {
  const { stacked, dFf } = weights;
  weights.expect?.(busyExperts(plan));
  return tf.tidy(() => {
    if (stacked === null) return expertsLooped(x, plan, weights, taps);
    if (tf.engine().isTapeOn())
      return paddingPays(plan.counts, x.shape[1] * dFf)
        ? expertsBatched(x, plan, { ...weights, stacked }, taps)
        : expertsLooped(x, plan, weights, taps);
    // On wasm a product prepares its matrix anew, except a weight's, which is prepared once.
    if (tf.getBackend() !== "tensorflow") return expertsLooped(x, plan, weights, taps);
    return expertsInGraph(x, plan, { ...weights, stacked }, taps);
  });
}

/** Expert by expert, on exactly its tokens. */
export function expertsLooped(x: tf.Tensor2D, plan: Dispatch, weights: ExpertWeights, taps: BlockTaps): tf.Tensor2D {
  const blocks = busyExperts(plan).map((expert): ExpertBlock => {
    const count = plan.counts[expert]!;
    return {
      rows: count,
      runs: [{ expert, start: 0, first: 0, count }],
      product: (own, part) => product(own, () => weights.one(expert)[part], true),
      neurons: neuronsOf(weights),
    };
  });
  return runBlocks(x, blocks, plan, weights, taps);
}

/** All experts at once in one batched product, padded to the rows of the fullest. */
export function expertsBatched(
  x: tf.Tensor2D,
  plan: Dispatch,
  weights: ExpertWeights & { stacked: ExpertStack },
  taps: BlockTaps,
): tf.Tensor2D {
  const { counts } = plan;
  const fullest = Math.max(...counts);
  const block: ExpertBlock = {
    rows: counts.length * fullest,
    runs: busyExperts(plan).map((expert) => ({ expert, start: expert * fullest, first: 0, count: counts[expert]! })),
    product: (rows, part) => {
      const own = rows.reshape<tf.Tensor3D>([counts.length, fullest, -1]);
      return product(own, () => weights.stacked[part], true).reshape([rows.shape[0], -1]);
    },
    neurons: neuronsOf(weights),
  };
  return runBlocks(x, [block], plan, weights, taps);
}

function neuronsOf({ activation, gluLimit }: ExpertSettings): ExpertBlock["neurons"] {
  return (gate, up) => gatedLinear(gate, up, activation, gluLimit);
}
