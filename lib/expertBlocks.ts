import * as tf from "@tensorflow/tfjs";
import type { Activation } from "./config.ts";
import type { Dispatch } from "./dispatch.ts";
import type { BlockTaps } from "./taps.ts";

/** The three matrices of an expert. */
export type ExpertPart = "gate" | "up" | "down";

/** Of all experts in one tensor each. */
export interface ExpertStack {
  /** [n_experts, d_ff, d_model] */
  gate: tf.Tensor3D;
  /** [n_experts, d_ff, d_model] */
  up: tf.Tensor3D;
  /** [n_experts, d_model, d_ff] */
  down: tf.Tensor3D;
}

/** Rows of one or more experts that go through the same products. */
export interface ExpertBlock {
  /** Rows in all; those of no run are padding. */
  rows: number;
  /** Rows from `start` on are the expert's: of its assignments `count`, from number `first` on. */
  runs: readonly { expert: number; start: number; first: number; count: number }[];
  /** Each row times its expert's matrix, [rows, in] → [rows, out]. */
  product(x: tf.Tensor2D, part: ExpertPart): tf.Tensor2D;
  /** What comes between an expert's products, row by row. */
  neurons(gate: tf.Tensor2D, up: tf.Tensor2D): tf.Tensor2D;
}

/** What is done beside the products. */
export interface ExpertSettings {
  activation: Activation;
  /** What the gate is cut at, and the up projection before it is raised by 1; absent: they are not. */
  gluLimit?: number | undefined;
  /** [n_experts, d_ff] twice and [n_experts, d_model]; absent: none */
  biases?: { gate: tf.Tensor2D; up: tf.Tensor2D; down: tf.Tensor2D } | undefined;
}

/**
 * Runs every assignment through its expert and puts the outputs back in slot order. Padding reads token 0; its results are
 * never gathered, so they change neither outputs nor gradients.
 * @param x what the experts read, [rows, d_model]
 * @param blocks between them they hold every assignment once
 * @returns each assignment's output before weighting, [rows*top_k, d_model]
 */
export function runBlocks(
  x: tf.Tensor2D,
  blocks: readonly ExpertBlock[],
  plan: Dispatch,
  settings: ExpertSettings,
  taps: BlockTaps,
): tf.Tensor2D {
  const { token, place } = placesOf(blocks, plan);
  const inputs = splitRows(tf.gather(x, tf.tensor1d(token, "int32")), blocks);
  const times = (values: readonly tf.Tensor2D[], part: ExpertPart): tf.Tensor2D[] =>
    blocks.map((block, b) => withBiases(block.product(values[b]!, part), block, settings.biases?.[part]));
  const gate = times(inputs, "gate");
  const up = times(inputs, "up");
  const hidden = neurons(gate, up, blocks, plan, taps);
  return tf.gather(tf.concat(times(hidden, "down")), tf.tensor1d(place, "int32"));
}

/** Which token each row of the blocks reads, and which row of them each assignment is. */
function placesOf(blocks: readonly ExpertBlock[], { starts, order, topK }: Dispatch) {
  const token = new Int32Array(blocks.reduce((sum, { rows }) => sum + rows, 0));
  const place = new Int32Array(order.length);
  let before = 0;
  for (const { rows, runs } of blocks) {
    for (const { expert, start, first, count } of runs)
      for (let r = 0; r < count; r++) {
        const assignment = order[starts[expert]! + first + r]!;
        token[before + start + r] = Math.floor(assignment / topK);
        place[assignment] = before + start + r;
      }
    before += rows;
  }
  return { token, place };
}

function splitRows(x: tf.Tensor2D, blocks: readonly ExpertBlock[]): tf.Tensor2D[] {
  if (blocks.length === 1) return [x];
  return tf.split(
    x,
    blocks.map(({ rows }) => rows),
  );
}

/** Adds to each row the bias of its expert, where experts have biases. */
function withBiases(x: tf.Tensor2D, { rows, runs }: ExpertBlock, biases: tf.Tensor2D | undefined): tf.Tensor2D {
  if (biases === undefined) return x;
  const experts = new Int32Array(rows);
  for (const { expert, start, count } of runs) experts.fill(expert, start, start + count);
  return x.add(tf.gather(biases, tf.tensor1d(experts, "int32")));
}

const ROW_HOOKS = ["hook_pre", "hook_pre_linear", "hook_post"] as const;

/** Whether anybody looks inside of an expert. */
export function watchesExperts({ counts }: Dispatch, taps: BlockTaps): boolean {
  const hooks = ["hook_token_index", ...ROW_HOOKS] as const;
  return hooks.some((hook) => counts.some((_, e) => taps.wants(`mlp.experts.${e}.${hook}`)));
}

/** The neurons of all experts: act(gate) ⊙ up, shown to the hooks inside each. */
function neurons(
  gate: readonly tf.Tensor2D[],
  up: readonly tf.Tensor2D[],
  blocks: readonly ExpertBlock[],
  plan: Dispatch,
  taps: BlockTaps,
): tf.Tensor2D[] {
  tapTokens(plan, taps);
  const pre = tapRows("hook_pre", gate, blocks, plan, taps);
  const linear = tapRows("hook_pre_linear", up, blocks, plan, taps);
  const post = blocks.map((block, b) => block.neurons(pre[b]!, linear[b]!));
  return tapRows("hook_post", post, blocks, plan, taps);
}

function tapTokens({ counts, starts, order, topK }: Dispatch, taps: BlockTaps): void {
  for (const [e, start] of starts.entries()) {
    if (!taps.wants(`mlp.experts.${e}.hook_token_index`)) continue;
    const tokens = order.subarray(start, start + counts[e]!).map((assignment) => Math.floor(assignment / topK));
    const index = tf.tensor1d(tokens, "int32");
    const left = taps.tap(`mlp.experts.${e}.hook_token_index`, index);
    if (left !== index && left.dataSync().some((token, row) => token !== tokens[row]))
      throw new RangeError(
        `experts.${e}.hook_token_index: must be left as it is; replace mlp.hook_expert_indices instead`,
      );
  }
}

/**
 * Shows each expert's rows to its hook, and puts rows that were replaced in their places.
 * An idle expert's hook sees a tensor of no rows: nothing was computed, which is not the same as zeros.
 */
function tapRows(
  hook: (typeof ROW_HOOKS)[number],
  values: readonly tf.Tensor2D[],
  blocks: readonly ExpertBlock[],
  { counts }: Dispatch,
  taps: BlockTaps,
): tf.Tensor2D[] {
  const replaced = new Map<number, tf.Tensor2D>();
  for (const e of counts.keys()) {
    if (!taps.wants(`mlp.experts.${e}.${hook}`)) continue;
    const own = rowsOf(e, values, blocks);
    const left = taps.tap(`mlp.experts.${e}.${hook}`, own);
    if (left !== own) replaced.set(e, left);
  }
  if (replaced.size === 0) return [...values];
  return blocks.map((block, b) => withRows(values[b]!, block, replaced));
}

/** An expert's rows, [n_routed, width]. */
function rowsOf(expert: number, values: readonly tf.Tensor2D[], blocks: readonly ExpertBlock[]): tf.Tensor2D {
  const pieces = blocks.flatMap(({ runs }, b) =>
    runs
      .filter((run) => run.expert === expert)
      .map(({ start, count }) => values[b]!.slice<tf.Tensor2D>([start, 0], [count, -1])),
  );
  if (pieces.length === 0) return values[0]!.slice([0, 0], [0, -1]);
  return pieces.length === 1 ? pieces[0]! : tf.concat(pieces);
}

function withRows(value: tf.Tensor2D, { runs }: ExpertBlock, replaced: ReadonlyMap<number, tf.Tensor2D>): tf.Tensor2D {
  const pieces: tf.Tensor2D[] = [];
  let next = 0;
  for (const { expert, start, first, count } of runs) {
    const rows = replaced.get(expert);
    if (rows === undefined) continue;
    pieces.push(value.slice([next, 0], [start - next, -1]), rows.slice([first, 0], [count, -1]));
    next = start + count;
  }
  return pieces.length === 0 ? value : tf.concat([...pieces, value.slice([next, 0])]);
}
