/**
 * Times products of rows with each expert's matrix, with the matrix as [in, out] and as [out, in], in turns:
 * `npx tsx bench/products.ts [--backend tensorflow] [--runs 15] [--shapes 64x145x512x256,…]`, a shape being experts, rows of
 * each, inputs and outputs. One is 16 experts of the shipped model, then come those of `against.ts` and true widths.
 */
import { parseArgs } from "node:util";
import * as tf from "@tensorflow/tfjs";
import { type BackendName, useBackend } from "../lib/backend.ts";
import { median, timed } from "./measure.ts";

const SHAPES = [
  "16x128x192x192",
  "8x256x512x1792",
  "8x256x1792x512",
  "64x145x512x256",
  "64x145x256x512",
  "128x80x512x192",
  "128x80x192x512",
  "1x64x6144x10752",
  "1x64x10752x6144",
  "1x64x4096x14336",
  "1x64x14336x4096",
];

const { values } = parseArgs({
  options: {
    backend: { type: "string", default: "tensorflow" },
    runs: { type: "string", default: "15" },
    shapes: { type: "string", default: SHAPES.join() },
  },
});

await useBackend(values.backend as BackendName);
console.log("experts x rows x in x out   [in, out]   [out, in]   time of [out, in] to [in, out]");
for (const shape of values.shapes.split(",")) {
  const [nExperts, rows, inputs, outputs] = shape.split("x").map(Number) as [number, number, number, number];
  const x = tf.randomNormal([nExperts, rows, inputs]);
  const inputsFirst = tf.randomNormal([nExperts, inputs, outputs]);
  const outputsFirst = tf.randomNormal([nExperts, outputs, inputs]);
  const run = (form: () => tf.Tensor): number => timed(() => form().dispose());
  const times: [number, number][] = [];
  for (let i = -2; i < Number(values.runs); i++) {
    const pair: [number, number] = [run(() => x.matMul(inputsFirst)), run(() => x.matMul(outputsFirst, false, true))];
    if (i >= 0) times.push(pair);
  }
  tf.dispose([x, inputsFirst, outputsFirst]);
  const [a, b] = [median(times.map(([time]) => time)), median(times.map(([, time]) => time))];
  const rate = (seconds: number): string =>
    `${((2e-9 * nExperts * rows * inputs * outputs) / seconds).toFixed(0)} GF/s`;
  console.log(`${shape.padEnd(26)}  ${rate(a).padEnd(10)}  ${rate(b).padEnd(10)}  ${(b / a).toFixed(2)}`);
}
