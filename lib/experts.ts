import * as tf from "@tensorflow/tfjs";
import { swiglu } from "./ops/swiglu.ts";
import type { BlockTaps } from "./taps.ts";

/** The weights of one layer's experts; x·W, so the input axis comes first. */
export interface ExpertWeights {
  /** [n_experts, d_model, d_ff] */
  gate: tf.Tensor3D;
  /** [n_experts, d_model, d_ff] */
  up: tf.Tensor3D;
  /** [n_experts, d_ff, d_model] */
  down: tf.Tensor3D;
  /** One expert's three matrices, [d_model, d_ff] twice and [d_ff, d_model]. */
  one(expert: number): { gate: tf.Tensor2D; up: tf.Tensor2D; down: tf.Tensor2D };
}

/** Where each assignment (token and slot) goes; an assignment's number is token · top_k + slot. */
export interface Dispatch {
  topK: number;
  /** Assignments of each expert, [n_experts]. */
  counts: Int32Array;
  /** Where each expert's run starts in `order`, [n_experts]. */
  starts: Int32Array;
  /** Assignments sorted by expert, and within an expert by number, [rows*top_k]. */
  order: Int32Array;
}

/**
 * Sorts assignments by expert (a counting sort).
 * @param indices chosen experts, [rows, top_k]
 */
export function dispatch(indices: Int32Array, topK: number, nExperts: number): Dispatch {
  const counts = new Int32Array(nExperts);
  for (const e of indices) counts[e]!++;
  const starts = new Int32Array(nExperts);
  for (let e = 1; e < nExperts; e++) starts[e] = starts[e - 1]! + counts[e - 1]!;
  const next = starts.slice();
  const order = new Int32Array(indices.length);
  for (let a = 0; a < indices.length; a++) order[next[indices[a]!]!++] = a;
  return { topK, counts, starts, order };
}

/** Tokens of a run of assignments. */
function tokensOf(assignments: Int32Array, topK: number): Int32Array {
  return assignments.map((a) => Math.floor(a / topK));
}

/**
 * What one more matrix product costs beyond its arithmetic, in multiply-adds: about 0.1 ms of dispatch at the
 * 2·10^11 multiply-adds a second of two cores. Batching the experts saves these and pays for the padding.
 */
const PRODUCT_OVERHEAD = 2e7;

/**
 * Runs each expert on the tokens routed to it and puts the outputs back in slot order.
 * @param x what the experts read, [rows, d_model]
 * @returns each assignment's output before weighting, [rows*top_k, d_model]
 */
export function runExperts(x: tf.Tensor2D, plan: Dispatch, weights: ExpertWeights, taps: BlockTaps): tf.Tensor2D {
  const nExperts = plan.counts.length;
  const largest = plan.counts.reduce((a, b) => Math.max(a, b), 0);
  const padding = nExperts * largest - plan.order.length;
  const [, dModel, dFf] = weights.gate.shape;
  const watched = plan.counts.some((_, e) => isWatched(taps, e));
  const batched = !watched && padding * dModel * dFf < nExperts * PRODUCT_OVERHEAD && tf.getBackend() !== "wasm";
  return tf.tidy(() => (batched ? expertsBatched(x, plan, weights, largest) : expertsLooped(x, plan, weights, taps)));
}

const INSIDE = ["hook_token_index", "hook_pre", "hook_pre_linear", "hook_post"] as const;

function isWatched(taps: BlockTaps, expert: number): boolean {
  return INSIDE.some((hook) => taps.wants(`mlp.experts.${expert}.${hook}`));
}

/** Expert by expert, on exactly its tokens: the plain form, and the only one that hooks inside an expert can watch. */
export function expertsLooped(x: tf.Tensor2D, plan: Dispatch, weights: ExpertWeights, taps: BlockTaps): tf.Tensor2D {
  const { counts, order, topK } = plan;
  const busy = [...counts.keys()].filter((e) => counts[e]! > 0);
  const sizes = busy.map((e) => counts[e]!);
  const rows = tf.gather(x, tf.tensor1d(tokensOf(order, topK), "int32")); // [rows*top_k, d_model]
  const inputs = tf.split<tf.Tensor2D>(rows, sizes);
  const gates = busy.map((e, i) => tf.matMul<tf.Tensor2D>(inputs[i]!, weights.one(e).gate));
  const ups = busy.map((e, i) => tf.matMul<tf.Tensor2D>(inputs[i]!, weights.one(e).up));
  const hidden =
    watchInside(taps, plan, gates, ups, busy) ?? tf.split<tf.Tensor2D>(swiglu(tf.concat(gates), tf.concat(ups)), sizes);
  const outputs = tf.concat(busy.map((e, i) => tf.matMul<tf.Tensor2D>(hidden[i]!, weights.one(e).down)));
  const place = new Int32Array(order.length);
  order.forEach((a, row) => (place[a] = row));
  return tf.gather(outputs, tf.tensor1d(place, "int32"));
}

/**
 * The hidden rows of each busy expert, shown to the hooks inside it; null where nobody watches.
 * An idle expert's hooks see tensors of no rows: nothing was computed, which is not the same as zeros.
 */
function watchInside(
  taps: BlockTaps,
  { counts, starts, order, topK }: Dispatch,
  gates: tf.Tensor2D[],
  ups: tf.Tensor2D[],
  busy: number[],
): tf.Tensor2D[] | null {
  const watched = [...counts.keys()].filter((e) => isWatched(taps, e));
  if (watched.length === 0) return null;
  const hidden = gates.map((gate, i) => swiglu(gate, ups[i]!));
  const empty = tf.zeros<tf.Rank.R2>([0, gates[0]!.shape[1]]);
  for (const e of watched) {
    const i = busy.indexOf(e);
    const tokens = tokensOf(order.subarray(starts[e]!, starts[e]! + counts[e]!), topK);
    taps.tap(`mlp.experts.${e}.hook_token_index`, tf.tensor1d(tokens, "int32"));
    const gate = taps.tap(`mlp.experts.${e}.hook_pre`, gates[i] ?? empty);
    const up = taps.tap(`mlp.experts.${e}.hook_pre_linear`, ups[i] ?? empty);
    const post = taps.tap(`mlp.experts.${e}.hook_post`, i < 0 ? empty : swiglu(gate, up));
    if (i >= 0) hidden[i] = post;
  }
  return hidden;
}

/**
 * All experts at once, each padded to the largest load: three large products instead of three for every expert.
 * The padding reads token 0; its results are never gathered, so they change neither outputs nor gradients.
 */
export function expertsBatched(x: tf.Tensor2D, plan: Dispatch, weights: ExpertWeights, largest: number): tf.Tensor2D {
  const { counts, starts, order, topK } = plan;
  const nExperts = counts.length;
  const token = new Int32Array(nExperts * largest);
  const place = new Int32Array(order.length);
  for (let e = 0; e < nExperts; e++) {
    for (let r = 0; r < counts[e]!; r++) {
      const assignment = order[starts[e]! + r]!;
      token[e * largest + r] = Math.floor(assignment / topK);
      place[assignment] = e * largest + r;
    }
  }
  const dModel = x.shape[1];
  const rows = tf.gather(x, tf.tensor1d(token, "int32")).reshape<tf.Tensor3D>([nExperts, largest, dModel]);
  const hidden = swiglu(tf.matMul<tf.Tensor3D>(rows, weights.gate), tf.matMul<tf.Tensor3D>(rows, weights.up));
  const outputs = hidden.matMul(weights.down).reshape<tf.Tensor2D>([nExperts * largest, dModel]);
  return tf.gather(outputs, tf.tensor1d(place, "int32"));
}
