/**
 * Measures how far every family is from the other implementation: `npx tsx scripts/parity.ts`. Runs each tiny checkpoint of
 * test/golden on both backends, compares every value that was stored, and writes docs/parity.json, from which
 * `npm run readme` makes the README's table.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type * as tf from "@tensorflow/tfjs";
import { type BackendName, useBackend } from "../lib/backend.ts";
import type { Checkpoint } from "../lib/checkpoint/checkpoint.ts";
import { loadEncoderDecoder, loadModel, readJson } from "../lib/checkpoint/folder.ts";
import { openFolder } from "../lib/checkpoint/node.ts";
import { isEncoderDecoder } from "../lib/families/index.ts";
import { relativeError } from "../test/relativeError.ts";
import type { Parity } from "./families.ts";

const GOLDEN = join(import.meta.dirname, "../test/golden");
const BACKENDS: BackendName[] = ["tensorflow", "wasm"];
/** What transformers masks scores with, where ours are −Infinity. */
const MASKED = -1e30;

interface Cache {
  readonly names: readonly string[];
  get(name: string): tf.Tensor;
  dispose(): void;
}

async function rowsOf(values: Checkpoint, name: string): Promise<number[][]> {
  const [batch, pos] = values.tensor(name).shape as [number, number];
  const flat = await values.readInt32(name);
  return Array.from({ length: batch }, (_, b) => [...flat.subarray(b * pos, (b + 1) * pos)]);
}

/** A model's family, and every value of its run on the tokens that were stored. */
async function ran(folder: string, values: Checkpoint): Promise<{ family: string; cache: Cache }> {
  if (isEncoderDecoder(await readJson(join(folder, "config.json")))) {
    const model = await loadEncoderDecoder(folder);
    const texts = { source: await rowsOf(values, "source"), target: await rowsOf(values, "target") };
    const { logits, cache } = model.runWithCache(texts);
    const { family } = model.config;
    return { family, cache: together([model, logits, cache], logits, cache.names, (name) => cache.get(name)) };
  }
  const model = await loadModel(folder);
  const { logits, cache } = model.runWithCache(await rowsOf(values, "ids"));
  const { family } = model.config;
  return { family, cache: together([model, logits, cache], logits, cache.names, (name) => cache.get(name)) };
}

/** Logits and kept values under one roof. */
function together<N extends string>(
  parts: readonly { dispose(): void }[],
  logits: tf.Tensor,
  names: readonly N[],
  get: (name: N) => tf.Tensor,
): Cache {
  return {
    names: [...names, "logits"],
    get: (name) => (name === "logits" ? logits : get(name as N)),
    dispose: () => {
      for (const part of parts) part.dispose();
    },
  };
}

/** The largest relative difference of any value of a tiny checkpoint. */
async function measured(folder: string): Promise<{ family: string; error: number }> {
  const values = await openFolder(`${folder}.values.safetensors`);
  const { family, cache } = await ran(folder, values);
  let error = 0;
  for (const name of cache.names.filter((key) => values.tensors.has(key))) {
    const actual = cache.get(name);
    const expected = actual.dtype === "int32" ? await values.readInt32(name) : await values.readFloat32(name);
    if (name.endsWith("hook_attn_scores"))
      for (const [i, score] of expected.entries()) if (score < MASKED) expected[i] = Number.NEGATIVE_INFINITY;
    error = Math.max(error, relativeError(actual.dataSync(), expected));
  }
  cache.dispose();
  await values.close();
  return { family, error };
}

const folders = ["dbrx", "families"].flatMap((part) =>
  readdirSync(join(GOLDEN, part))
    .filter((file) => file.endsWith(".values.safetensors"))
    .map((file) => join(GOLDEN, part, file.slice(0, -".values.safetensors".length))),
);
const parity: Record<string, Parity> = {};
for (const backend of BACKENDS) {
  await useBackend(backend);
  for (const folder of folders) {
    const { family, error } = await measured(folder);
    console.log(backend, folder.slice(GOLDEN.length + 1), error.toExponential(1));
    const entry = (parity[family] ??= { checkpoints: 0, tensorflow: 0, wasm: 0 });
    entry[backend as "tensorflow" | "wasm"] = Math.max(entry[backend as "tensorflow" | "wasm"], error);
    if (backend === BACKENDS[0]) entry.checkpoints++;
  }
}
const rounded = Object.entries(parity).map(([family, { checkpoints, tensorflow, wasm }]) => [
  family,
  { checkpoints, tensorflow: Number(tensorflow.toPrecision(2)), wasm: Number(wasm.toPrecision(2)) },
]);
writeFileSync(
  new URL("../docs/parity.json", import.meta.url),
  `${JSON.stringify(Object.fromEntries(rounded), null, 2)}\n`,
);
