/**
 * Times the forms in which a layer's experts can run, over numbers of experts, top-k, rows, widths and loads, and what the
 * choice between them loses against the best of them: `npx tsx bench/experts.ts [--backend tensorflow] [--runs 5]
 * [--experts 8,64] [--top-k 2,8] [--rows 16,1024] [--widths 256x256] [--save FILE]`. Loads are uneven as a router's are:
 * tokens choose by popularity, spread until the fullest expert has (1 + MaxVio) times the mean load. The forms are
 * interleaved, and the best time of each is taken.
 */
import { appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import * as tf from "@tensorflow/tfjs";
import { type BackendName, useBackend } from "../lib/backend.ts";
import { dispatch } from "../lib/dispatch.ts";
import { type ExpertStack, type ExpertWeights, expertsBatched, expertsLooped } from "../lib/experts.ts";
import { hashUniform } from "../lib/random.ts";
import { rowsTogether } from "../lib/rowsTogether.ts";
import { BlockTaps, Taps } from "../lib/taps.ts";
import { median, timed } from "./measure.ts";

const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "tensorflow" },
    runs: { type: "string", default: "5" },
    experts: { type: "string", default: "8,16,64,128" },
    "top-k": { type: "string", default: "2,4,8" },
    rows: { type: "string", default: "16,64,256,1024,2048" },
    widths: { type: "string", default: "256x256,512x256,512x1792" },
    violations: { type: "string", default: "0.2,0.7,2" },
    save: { type: "string" },
  },
});
const numbers = (text: string): number[] => text.split(",").map(Number);

/** Stacks of more bytes are not made. */
const MOST_BYTES = 1 << 28;

/** Batched rows that are tried beside none, all and the choice: these parts of the experts have fewer. */
const TRIED = [0.25, 0.5, 0.75, 0.9];

/** A normal number that a seed gives (Box and Muller). */
function normal(seed: number, i: number): number {
  return Math.sqrt(-2 * Math.log(1 - hashUniform(seed, 2 * i))) * Math.cos(2 * Math.PI * hashUniform(seed, 2 * i + 1));
}

/** Choices of `topK` different experts for each row, by popularity of a spread: [rows, top_k]. */
function choices(rows: number, topK: number, nExperts: number, spread: number): Int32Array {
  const popularity = Array.from({ length: nExperts }, (_, e) => spread * normal(1, e));
  const indices = new Int32Array(rows * topK);
  for (let row = 0; row < rows; row++) {
    const keys = popularity.map((p, e) => p - Math.log(-Math.log(1 - hashUniform(row + 2, e))));
    const best = [...keys.keys()].sort((a, b) => keys[b]! - keys[a]!);
    indices.set(best.slice(0, topK), row * topK);
  }
  return indices;
}

function maxViolation(counts: readonly number[]): number {
  return Math.max(...counts) / (counts.reduce((a, b) => a + b) / counts.length) - 1;
}

/** Choices whose loads come as near to a MaxVio as they can. */
function choicesOf(rows: number, topK: number, nExperts: number, wanted: number): Int32Array {
  let [low, high] = [0, 8];
  for (let step = 0; step < 6; step++) {
    const spread = (low + high) / 2;
    const { counts } = dispatch(choices(rows, topK, nExperts, spread), topK, nExperts);
    if (maxViolation([...counts]) < wanted) low = spread;
    else high = spread;
  }
  return choices(rows, topK, nExperts, low);
}

type Stacked = ExpertWeights & { stacked: ExpertStack };

function weightsOf(nExperts: number, dModel: number, dFf: number): Stacked & { dispose(): void } {
  const make = (inputs: number, outputs: number): tf.Tensor3D =>
    tf.randomNormal([nExperts, outputs, inputs], 0, inputs ** -0.5);
  const stacked = { gate: make(dModel, dFf), up: make(dModel, dFf), down: make(dFf, dModel) };
  const [gates, ups, downs] = [stacked.gate, stacked.up, stacked.down].map((stack) => tf.unstack(stack)) as [
    tf.Tensor2D[],
    tf.Tensor2D[],
    tf.Tensor2D[],
  ];
  return {
    activation: "silu",
    dFf,
    stacked,
    one: (e) => ({ gate: gates[e]!, up: ups[e]!, down: downs[e]! }),
    dispose: () => tf.dispose([stacked.gate, stacked.up, stacked.down, ...gates, ...ups, ...downs]),
  };
}

/** Seconds of one choice by how many rows of each expert are batched; 0: none. */
interface Case {
  dModel: number;
  dFf: number;
  counts: number[];
  chosen: number;
  seconds: Record<number, number>;
}

function measure(indices: Int32Array, topK: number, dModel: number, weights: Stacked): Case {
  const nExperts = weights.stacked.gate.shape[0];
  const rows = indices.length / topK;
  const plan = dispatch(indices, topK, nExperts);
  const mlp = { nExperts, topK, dFf: weights.dFf };
  const taps = new BlockTaps(new Taps({ dModel, mlp } as never, {}, { batch: 1, pos: rows, past: 0 }), 0);
  const x = tf.randomNormal<tf.Rank.R2>([rows, dModel]);
  const sorted = [...plan.counts].sort((a, b) => a - b);
  const chosen = rowsTogether(plan.counts, dModel * weights.dFf, false);
  const tried = new Set([0, chosen, sorted.at(-1)!, ...TRIED.map((part) => sorted[Math.floor(part * nExperts)]!)]);
  const seconds: Case["seconds"] = {};
  for (let run = -1; run < Number(values.runs); run++)
    for (const together of tried) {
      const time = timed(() =>
        tf.tidy(() =>
          together === 0
            ? void expertsLooped(x, plan, weights, taps)
            : void expertsBatched(x, plan, weights, taps, together),
        ),
      );
      if (run >= 0) seconds[together] = Math.min(time, seconds[together] ?? Number.POSITIVE_INFINITY);
    }
  x.dispose();
  return { dModel, dFf: weights.dFf, counts: [...plan.counts], chosen, seconds };
}

const best = ({ seconds }: Case): number => Math.min(...Object.values(seconds));
const atOnce = ({ seconds, counts }: Case): number => seconds[Math.max(...counts)]!;
const loss = (one: Case): number => one.seconds[one.chosen]! / best(one) - 1;
const ms = (seconds: number): string => `${(1000 * seconds).toFixed(2)} ms`;

await useBackend(values.backend as BackendName);
const cases: Case[] = [];
for (const width of values.widths.split(",")) {
  const [dModel, dFf] = width.split("x").map(Number) as [number, number];
  for (const nExperts of numbers(values.experts)) {
    if (4 * nExperts * dModel * dFf > MOST_BYTES) continue;
    const weights = weightsOf(nExperts, dModel, dFf);
    for (const topK of numbers(values["top-k"]).filter((k) => 2 * k <= nExperts))
      for (const rows of numbers(values.rows))
        for (const wanted of numbers(values.violations)) {
          const one = measure(choicesOf(rows, topK, nExperts, wanted), topK, dModel, weights);
          cases.push(one);
          if (values.save !== undefined) appendFileSync(values.save, `${JSON.stringify(one)}\n`);
          console.log(
            `${width}, ${nExperts} experts, top-${topK}, ${rows} rows, MaxVio ${maxViolation(one.counts).toFixed(1)}: one by one ` +
              `${ms(one.seconds[0]!)}, at once ${ms(atOnce(one))}, ${one.chosen} rows of each ${ms(one.seconds[one.chosen]!)}` +
              (loss(one) > 0.05 ? `, the best ${ms(best(one))}` : ""),
          );
        }
    weights.dispose();
  }
}
const losses = cases.map(loss).sort((a, b) => a - b);
const total = (of: (one: Case) => number): string => cases.reduce((sum, one) => sum + of(one), 0).toFixed(2);
console.log(
  `${cases.length} cases on ${tf.getBackend()}: the choice loses ${(100 * median(losses)).toFixed(1)} % (median), ` +
    `${(100 * losses[Math.floor(0.9 * losses.length)]!).toFixed(0)} % (90 of 100); all together ` +
    `${total((one) => one.seconds[one.chosen]!)} s, one by one ${total((one) => one.seconds[0]!)} s, at once ${total(atOnce)} s, ` +
    `always the best of those tried ${total(best)} s`,
);
