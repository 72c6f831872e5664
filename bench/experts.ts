/**
 * Times the forms in which a layer's experts can run, over numbers of experts, top-k, rows, widths and loads:
 * `npx tsx bench/experts.ts [--gradients] [--backend tensorflow] [--runs 5] [--experts 8,64] [--top-k 2,8] [--rows 16,1024]
 * [--widths 256x256] [--save FILE]`. With gradients, what the choice between one by one and all at once loses against the
 * better of them. Loads are uneven as a router's are: tokens choose by popularity, spread until the fullest expert has
 * (1 + MaxVio) times the mean load. The forms are interleaved, and the best time of each is taken.
 */
import { appendFileSync } from "node:fs";
import { parseArgs } from "node:util";
import * as tf from "@tensorflow/tfjs";
import { type BackendName, useBackend } from "../lib/backend.ts";
import { type Dispatch, dispatch } from "../lib/dispatch.ts";
import type { ExpertStack } from "../lib/expertBlocks.ts";
import { type ExpertWeights, expertsBatched, expertsLooped, runExperts } from "../lib/experts.ts";
import { paddingPays } from "../lib/paddingPays.ts";
import { hashUniform } from "../lib/random.ts";
import { BlockTaps, Taps } from "../lib/taps.ts";
import { timed } from "./measure.ts";

const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "tensorflow" },
    runs: { type: "string", default: "5" },
    experts: { type: "string", default: "8,16,64,128" },
    "top-k": { type: "string", default: "2,4,8" },
    rows: { type: "string", default: "16,64,256,1024,2048" },
    widths: { type: "string", default: "256x256,512x256,512x1792" },
    violations: { type: "string", default: "0.2,0.7,2" },
    gradients: { type: "boolean", default: false },
    save: { type: "string" },
  },
});
const numbers = (text: string): number[] => text.split(",").map(Number);

/** Stacks of more bytes are not made. */
const MOST_BYTES = 1 << 28;

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
  const parts = [stacked.gate, stacked.up, stacked.down].map((stack) => tf.unstack(stack) as tf.Tensor2D[]);
  const [gates, ups, downs] = parts as [tf.Tensor2D[], tf.Tensor2D[], tf.Tensor2D[]];
  return {
    activation: "silu",
    dFf,
    stacked,
    one: (e) => ({ gate: gates[e]!, up: ups[e]!, down: downs[e]! }),
    dispose: () => tf.dispose([stacked, parts]),
  };
}

const FORMS = { "one by one": expertsLooped, "at once": expertsBatched, chosen: runExperts } as const;
type Form = keyof typeof FORMS;

interface Case {
  dModel: number;
  dFf: number;
  counts: number[];
  padded: boolean;
  seconds: Record<Form, number>;
}

/** Outputs, or what their sum says of every weight. */
function run(form: Form, x: tf.Tensor2D, plan: Dispatch, weights: Stacked, taps: BlockTaps): void {
  if (!values.gradients) return void FORMS[form](x, plan, weights, taps);
  const { gate, up, down } = weights.stacked;
  tf.grads((...inputs) => {
    const [g, u, d] = inputs as [tf.Tensor3D, tf.Tensor3D, tf.Tensor3D];
    const one = (stack: tf.Tensor3D, e: number): tf.Tensor2D =>
      stack.slice([e, 0, 0], [1, -1, -1]).reshape(stack.shape.slice(1));
    const own: Stacked = {
      ...weights,
      stacked: { gate: g, up: u, down: d },
      one: (e) => ({ gate: one(g, e), up: one(u, e), down: one(d, e) }),
    };
    return FORMS[form](x, plan, own, taps).sum();
  })([gate, up, down]);
}

function measure(indices: Int32Array, topK: number, dModel: number, weights: Stacked): Case {
  const nExperts = weights.stacked.gate.shape[0];
  const rows = indices.length / topK;
  const plan = dispatch(indices, topK, nExperts);
  const mlp = { nExperts, topK, dFf: weights.dFf };
  const taps = new BlockTaps(new Taps({ dModel, mlp } as never, {}, { batch: 1, pos: rows, past: 0 }), 0);
  const x = tf.randomNormal<tf.Rank.R2>([rows, dModel]);
  const seconds = {
    "one by one": Number.POSITIVE_INFINITY,
    "at once": Number.POSITIVE_INFINITY,
    chosen: Number.POSITIVE_INFINITY,
  };
  for (let again = -1; again < Number(values.runs); again++)
    for (const form of Object.keys(FORMS) as Form[]) {
      const time = timed(() => tf.tidy(() => run(form, x, plan, weights, taps)));
      if (again >= 0) seconds[form] = Math.min(time, seconds[form]);
    }
  x.dispose();
  const padded = paddingPays(plan.counts, dModel * weights.dFf);
  return { dModel, dFf: weights.dFf, counts: [...plan.counts], padded, seconds };
}

/** What is lost where the form that gradients are taken of is the slower one. */
function loss({ padded, seconds }: Case): number {
  const chosen = seconds[padded ? "at once" : "one by one"];
  return chosen / Math.min(seconds["at once"], seconds["one by one"]) - 1;
}
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
            `${width}, ${nExperts} experts, top-${topK}, ${rows} rows, MaxVio ${maxViolation(one.counts).toFixed(1)}: ` +
              Object.entries(one.seconds)
                .map(([form, seconds]) => `${form} ${ms(seconds)}`)
                .join(", "),
          );
        }
    weights.dispose();
  }
}
const total = (form: Form): string => cases.reduce((sum, { seconds }) => sum + seconds[form], 0).toFixed(2);
console.log(
  `${cases.length} cases on ${tf.getBackend()}: one by one ${total("one by one")} s, at once ${total("at once")} s, ` +
    `chosen ${total("chosen")} s`,
);
if (values.gradients) {
  const losses = cases.map(loss).sort((a, b) => a - b);
  const percent = (part: number): string => (100 * losses[Math.floor(part * losses.length)]!).toFixed(1);
  console.log(`the choice for gradients loses ${percent(0.5)} % (median), ${percent(0.9)} % (90 of 100)`);
}
