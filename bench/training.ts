/**
 * Times a step of training against PyTorch (transformers' DBRX, eager, AdamW) on the same checkpoint and batches:
 * `npx tsx bench/training.ts --python PYTHON [--folder CHECKPOINT] [--batch 16] [--pos 256] [--steps 8]`. The losses of
 * the first steps are compared; steps are interleaved; the ratio of their medians is reported.
 */
import { parseArgs } from "node:util";
import * as tf from "@tensorflow/tfjs";
import { loadModel } from "../lib/checkpoint/folder.ts";
import { moeOf } from "../lib/config.ts";
import { hashUniform } from "../lib/random.ts";
import { adamW, globalNorm, zeroMoments } from "../lib/train/adamw.ts";
import { lossAndGradients } from "../lib/train/step.ts";
import { median } from "./measure.ts";
import { Peer } from "./peer.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string", default: "python3" },
    folder: { type: "string", default: "models/reference" },
    batch: { type: "string", default: "16" },
    pos: { type: "string", default: "256" },
    steps: { type: "string", default: "8" },
    threads: { type: "string", default: "2" },
  },
});
const [batch, pos, steps] = [Number(values.batch), Number(values.pos), Number(values.steps)];
const WARM_UP = 2;
const RATE = 1e-4;

const model = await loadModel(values.folder);
const { config } = model;
const variables = new Map([...model.params].map(([name, value]) => [name, tf.variable(value)]));
const moments = zeroMoments(variables);
const peer = new Peer(values.python, values.folder, Number(values.threads));

function ourStep(step: number, ids: Int32Array): { seconds: number; loss: number } {
  const start = performance.now();
  const { gradients, loss } = lossAndGradients(
    variables,
    config,
    { ids, batch, pos },
    {
      loadBalance: { form: "huggingface", weight: moeOf(config).loadBalanceWeight },
      zLossWeight: 0,
    },
  );
  const scale = Math.min(1, 1 / globalNorm(gradients));
  adamW(variables, gradients, moments, {
    step,
    rate: RATE,
    scale,
    beta1: 0.9,
    beta2: 0.95,
    eps: 1e-8,
    weightDecay: 0.1,
  });
  tf.dispose([...gradients.values()]);
  return { seconds: (performance.now() - start) / 1000, loss: loss.total };
}

const ours: number[] = [];
const theirs: number[] = [];
for (let step = 1; step <= WARM_UP + steps; step++) {
  const ids = Int32Array.from({ length: batch * (pos + 1) }, (_, i) =>
    Math.floor(hashUniform(step, i) * config.dVocab),
  );
  const rows = Array.from({ length: batch }, (_, b) => [...ids.subarray(b * (pos + 1), (b + 1) * (pos + 1))]);
  const mine = ourStep(step, ids);
  const other = await peer.ask<{ seconds: number; loss: number }>({ cmd: "train", ids: rows, rate: RATE });
  if (step <= WARM_UP) {
    console.log(`step ${step}: loss ${mine.loss.toFixed(4)}, PyTorch ${other.loss.toFixed(4)}`);
    continue;
  }
  ours.push(mine.seconds);
  theirs.push(other.seconds);
}
const tokens = batch * pos;
const ratio = median(theirs) / median(ours);
console.log(
  `${Math.round(tokens / median(ours))} tokens/s on ${tf.getBackend()}, PyTorch ${Math.round(tokens / median(theirs))}, ` +
    `ratio ${ratio.toFixed(2)}`,
);
peer.stop();
model.dispose();
