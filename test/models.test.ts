import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { beforeAll, expect, test } from "vitest";
import type { Checkpoint } from "../lib/checkpoint/checkpoint.ts";
import { loadModel, loadTokenizer } from "../lib/checkpoint/folder.ts";
import { openFolder } from "../lib/checkpoint/node.ts";
import type { MoeModel } from "../lib/model.ts";
import { nextTokenLoss } from "../lib/nextTokenLoss.ts";
import type { Tokenizer } from "../lib/tokenizer/tokenizer.ts";
import { modelCard } from "../scripts/reference/card.ts";
import { modelFolder } from "../scripts/reference/modelFolder.ts";
import { relativeError } from "./helpers.ts";

const MODELS = join(import.meta.dirname, "../models");
const REFERENCE = join(MODELS, "reference");

const KINDS = ["english", "japanese", "maths", "python", "spanish", "structured", "typescript"];

let model: MoeModel;
let tokenizer: Tokenizer;
let golden: Checkpoint;
let passages: { kind: string; text: string }[];

beforeAll(async () => {
  model = await loadModel(REFERENCE);
  tokenizer = await loadTokenizer(REFERENCE);
  golden = await openFolder(join(import.meta.dirname, "golden/reference.safetensors"));
  passages = JSON.parse(await readFile(join(MODELS, "passages.json"), "utf8"));
  return async () => {
    model.dispose();
    await golden.close();
  };
});

test("the shipped model and its tokenizer give what transformers and tokenizers give", async () => {
  const kinds = new Set<string>();
  for (const name of golden.tensors.keys()) {
    if (!name.startsWith("ids.")) continue;
    const i = Number(name.slice("ids.".length));
    const { kind, text } = passages[i]!;
    kinds.add(kind);
    const ids = tokenizer.encode(text).slice(0, model.config.nCtx);
    expect(ids).toEqual([...(await golden.readInt32(name))]);
    const logits = model.run(ids);
    const last = logits.dataSync().slice(-model.config.dVocab);
    logits.dispose();
    expect(relativeError(last, await golden.readFloat32(`logits.${i}`)), kind).toBeLessThan(1e-4);
  }
  expect([...kinds].sort()).toEqual(KINDS);
});

test("it predicts unseen text of every kind better than that text's own letter frequencies do", () => {
  for (const { kind, text } of passages) {
    const ids = tokenizer.encode(text).slice(0, 256);
    const logits = model.run(ids);
    const { mean } = nextTokenLoss(logits, ids);
    logits.dispose();
    const characters = Array.from(tokenizer.decode(ids));
    const counts = new Map<string, number>();
    for (const c of characters) counts.set(c, (counts.get(c) ?? 0) + 1);
    const entropy = [...counts.values()].reduce((sum, n) => sum - n * Math.log(n / characters.length), 0);
    expect(mean * (ids.length - 1), `${kind}: ${text.slice(0, 40)}`).toBeLessThan(entropy);
  }
});

test("no expert of any layer is dead over the passages", () => {
  const used = Array.from({ length: model.config.nLayers }, () => new Set<number>());
  for (const { text } of passages) {
    const names = "blocks.*.mlp.hook_expert_indices";
    const { logits, cache } = model.runWithCache(tokenizer.encode(text).slice(0, model.config.nCtx), { names });
    for (const [layer, name] of cache.names.entries()) for (const e of cache.get(name).dataSync()) used[layer]!.add(e);
    logits.dispose();
    cache.dispose();
  }
  expect(used.map((experts) => experts.size)).toEqual(used.map(() => 16));
});

test("on held-out text of every kind it takes fewer bits a byte than xz -9 and than a 5-gram model of bytes", async () => {
  const { heldOut, references } = await modelFolder(REFERENCE);
  expect(heldOut.map(({ kind }) => kind).sort()).toEqual(KINDS);
  for (const { kind, bytes, natsPerToken, nTokens, bitsPerByte } of heldOut) {
    const { xz, byteNgram } = references.find((one) => one.kind === kind)!;
    expect(bitsPerByte, kind).toBeLessThan(Math.min(xz, byteNgram));
    expect((natsPerToken * nTokens) / Math.LN2 / bytes, kind).toBeCloseTo(bitsPerByte, 10);
  }
});

test("the model card says what the files beside it say (npm run reference -- card writes it)", async () => {
  expect(await readFile(join(REFERENCE, "README.md"), "utf8")).toBe(modelCard(await modelFolder(REFERENCE)));
});
