import * as tf from "@tensorflow/tfjs";
import type { Activation } from "./config.ts";
import { gatedLinear } from "./ops/gatedLinear.ts";
import { product } from "./ops/product.ts";
import type { BlockTaps } from "./taps.ts";

/** The weights of one layer's experts; x·W, so the input axis comes first. */
export interface ExpertWeights {
  activation: Activation;
  /** Hidden width of one expert. */
  dFf: number;
  /** All experts in one tensor each; null where the backend has no fast batched product, and none is used. */
  stacked: ExpertStack | null;
  /** What the gate is cut at, and the up projection before it is raised by 1; absent: they are not. */
  gluLimit?: number | undefined;
  /** [n_experts, d_ff] twice and [n_experts, d_model]; absent: none */
  biases?: { gate: tf.Tensor2D; up: tf.Tensor2D; down: tf.Tensor2D } | undefined;
  /** One expert's three matrices, [d_model, d_ff] twice and [d_ff, d_model]. */
  one(expert: number): { gate: tf.Tensor2D; up: tf.Tensor2D; down: tf.Tensor2D };
  /** Told which experts have tokens, before their products. */
  expect?(busy: readonly number[]): void;
}

export interface ExpertStack {
  /** [n_experts, d_model, d_ff] */
  gate: tf.Tensor3D;
  /** [n_experts, d_model, d_ff] */
  up: tf.Tensor3D;
  /** [n_experts, d_ff, d_model] */
  down: tf.Tensor3D;
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
 * 2·10^11 multiply-adds a second of two cores.
 */
const PRODUCT_OVERHEAD = 2e7;

/** A product of few rows takes as long as one of this many: reading the weights from memory takes that time. */
const LEAST_ROWS = 24;

/** Beyond this many bytes of one part of all experts, products are so long that batching saves nothing worth its memory. */
export const MOST_BATCHED_BYTES = 1 << 27;

/** The experts that have tokens. */
function busyOf({ counts }: Dispatch): number[] {
  return [...counts.keys()].filter((e) => counts[e]! > 0);
}

/**
 * Runs each expert on the tokens routed to it and puts the outputs back in slot order.
 * The form is chosen by the loads alone, never by who watches, so that watching changes no bit.
 * @param x what the experts read, [rows, d_model]
 * @returns each assignment's output before weighting, [rows*top_k, d_model]
 */
export function runExperts(x: tf.Tensor2D, plan: Dispatch, weights: ExpertWeights, taps: BlockTaps): tf.Tensor2D {
  const { stacked } = weights;
  weights.expect?.(busyOf(plan));
  return tf.tidy(() =>
    stacked !== null && batchingPays(plan, x.shape[1], weights.dFf)
      ? expertsBatched(x, plan, stacked, weights, taps)
      : expertsLooped(x, plan, weights, taps),
  );
}

/** Batching saves products and pays for rows of padding, and for reading the weights of experts that have no token. */
function batchingPays({ counts }: Dispatch, dModel: number, dFf: number): boolean {
  const nExperts = counts.length;
  if (4 * nExperts * dModel * dFf > MOST_BATCHED_BYTES) return false;
  const cost = (rows: number): number => Math.max(rows, LEAST_ROWS) * dModel * dFf;
  const looped = counts.reduce((sum, rows) => (rows === 0 ? sum : sum + cost(rows) + PRODUCT_OVERHEAD), 0);
  return nExperts * cost(largestOf(counts)) < looped;
}

function largestOf(counts: Int32Array): number {
  return counts.reduce((a, b) => Math.max(a, b), 0);
}

/** Expert by expert, on exactly its tokens: the plain form. */
export function expertsLooped(x: tf.Tensor2D, plan: Dispatch, weights: ExpertWeights, taps: BlockTaps): tf.Tensor2D {
  const { counts, order, topK } = plan;
  const busy = busyOf(plan);
  const sizes = busy.map((e) => counts[e]!);
  const rows = tf.gather(x, tf.tensor1d(tokensOf(order, topK), "int32")); // [rows*top_k, d_model]
  const inputs = tf.split<tf.Tensor2D>(rows, sizes);
  const biased = biasing(
    weights,
    busy.flatMap((e) => Array<number>(counts[e]!).fill(e)),
  );
  const gate = biased(tf.concat(busy.map((e, i) => product(inputs[i]!, () => weights.one(e).gate))), "gate");
  const up = biased(tf.concat(busy.map((e, i) => product(inputs[i]!, () => weights.one(e).up))), "up");
  const hidden = tf.split<tf.Tensor2D>(activate(gate, up, weights, plan, plan.starts, taps), sizes);
  const outputs = biased(tf.concat(busy.map((e, i) => product(hidden[i]!, () => weights.one(e).down))), "down");
  const place = new Int32Array(order.length);
  for (const [row, assignment] of order.entries()) place[assignment] = row;
  return tf.gather(outputs, tf.tensor1d(place, "int32"));
}

/**
 * All experts at once, each padded to the largest load: three large products instead of three for every expert.
 * The padding reads token 0; its results are never gathered, so they change neither outputs nor gradients.
 */
export function expertsBatched(
  x: tf.Tensor2D,
  plan: Dispatch,
  stack: ExpertStack,
  weights: Pick<ExpertWeights, "activation" | "gluLimit" | "biases">,
  taps: BlockTaps,
): tf.Tensor2D {
  const { counts, starts, order, topK } = plan;
  const [nExperts, dModel] = [counts.length, x.shape[1]];
  const largest = largestOf(counts);
  const token = new Int32Array(nExperts * largest);
  const place = new Int32Array(order.length);
  const padded = counts.map((_, e) => e * largest);
  for (let e = 0; e < nExperts; e++) {
    for (let r = 0; r < counts[e]!; r++) {
      const assignment = order[starts[e]! + r]!;
      token[padded[e]! + r] = Math.floor(assignment / topK);
      place[assignment] = padded[e]! + r;
    }
  }
  const rows = tf.gather(x, tf.tensor1d(token, "int32")).reshape<tf.Tensor3D>([nExperts, largest, dModel]);
  const biased = biasing(
    weights,
    Array.from({ length: nExperts * largest }, (_, row) => Math.floor(row / largest)),
  );
  const gate = biased(product(rows, () => stack.gate).reshape<tf.Tensor2D>([nExperts * largest, -1]), "gate");
  const up = biased(product(rows, () => stack.up).reshape<tf.Tensor2D>([nExperts * largest, -1]), "up");
  const hidden = activate(gate, up, weights, plan, padded, taps).reshape<tf.Tensor3D>([nExperts, largest, -1]);
  const outputs = biased(product(hidden, () => stack.down).reshape<tf.Tensor2D>([nExperts * largest, dModel]), "down");
  return tf.gather(outputs, tf.tensor1d(place, "int32"));
}

/** Adds to each row the bias of its expert, where experts have biases. */
function biasing(
  { biases }: Pick<ExpertWeights, "biases">,
  expertOfRow: number[],
): (rows: tf.Tensor2D, of: "gate" | "up" | "down") => tf.Tensor2D {
  if (biases === undefined) return (rows) => rows;
  const index = tf.tensor1d(expertOfRow, "int32");
  return (rows, of) => rows.add(tf.gather(biases[of], index));
}

/** The neurons of all experts: act(gate) ⊙ up, shown to the hooks inside each. `starts`: each expert's first row. */
function activate(
  gate: tf.Tensor2D,
  up: tf.Tensor2D,
  { activation, gluLimit }: Pick<ExpertWeights, "activation" | "gluLimit">,
  { counts, starts: sorted, order, topK }: Dispatch,
  starts: Int32Array,
  taps: BlockTaps,
): tf.Tensor2D {
  for (const e of counts.keys()) {
    if (!taps.wants(`mlp.experts.${e}.hook_token_index`)) continue;
    const tokens = tokensOf(order.subarray(sorted[e], sorted[e]! + counts[e]!), topK);
    const index = tf.tensor1d(tokens, "int32");
    const left = taps.tap(`mlp.experts.${e}.hook_token_index`, index);
    if (left !== index && left.dataSync().some((token, row) => token !== tokens[row]))
      throw new RangeError(
        `experts.${e}.hook_token_index: must be left as it is; replace mlp.hook_expert_indices instead`,
      );
  }
  const pre = tapRows("hook_pre", gate, counts, starts, taps);
  const linear = tapRows("hook_pre_linear", up, counts, starts, taps);
  return tapRows("hook_post", gatedLinear(pre, linear, activation, gluLimit), counts, starts, taps);
}

/**
 * Shows each expert's rows to its hook, and puts rows that were replaced in their place.
 * An idle expert's hook sees a tensor of no rows: nothing was computed, which is not the same as zeros.
 */
function tapRows(
  hook: "hook_pre" | "hook_pre_linear" | "hook_post",
  all: tf.Tensor2D,
  counts: Int32Array,
  starts: Int32Array,
  taps: BlockTaps,
): tf.Tensor2D {
  const pieces: tf.Tensor2D[] = [];
  let next = 0;
  for (const [e, count] of counts.entries()) {
    if (!taps.wants(`mlp.experts.${e}.${hook}`)) continue;
    const start = starts[e]!;
    const own = all.slice([start, 0], [count, -1]);
    const replaced = taps.tap(`mlp.experts.${e}.${hook}`, own);
    if (replaced === own) continue;
    pieces.push(all.slice([next, 0], [start - next, -1]), replaced);
    next = start + count;
  }
  return pieces.length === 0 ? all : tf.concat([...pieces, all.slice([next, 0])]);
}
