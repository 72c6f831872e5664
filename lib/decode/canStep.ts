// oxlint-disable-next-line no-restricted-imports -- how much memory is free, only Node knows
import { freemem } from "node:os";
import type { MlpConfig, ModelConfig, MoeConfig } from "../config.ts";
import { fanIn, paramShapes } from "../params.ts";
import { MAX_PAGES, PAGE } from "../wasmModule.ts";
import { canDot, padded } from "./dots.ts";
import { MOST_TASKS } from "./products.ts";

/** What a step knows what to do with. A model whose configuration says more is left to the reference path. */
const FIELDS: readonly (keyof ModelConfig)[] = [
  "family",
  "nLayers",
  "dModel",
  "nHeads",
  "nKvHeads",
  "dHead",
  "dVocab",
  "nCtx",
  "norm",
  "normEps",
  "ropeBase",
  "clipQkv",
  "mlp",
  "denseBlocks",
  "attentionScale",
  "attentionSoftcap",
  "qkNorm",
  "postNorms",
  "embeddingScale",
  "residualScale",
  "logitScale",
  "tiedEmbeddings",
];
const MLP_FIELDS: readonly (keyof MoeConfig)[] = [
  "kind",
  "nExperts",
  "topK",
  "dFf",
  "activation",
  "gating",
  "loadBalanceWeight",
];

/** Whether a model's tokens can be run by a {@link Stepper}: it is understood, and a copy of its weights has room. */
export function canStep(config: ModelConfig): boolean {
  const { mlp, denseBlocks } = config;
  const understood =
    config.ropeBase !== null &&
    Object.keys(config).every((field) => FIELDS.includes(field as keyof ModelConfig)) &&
    isUnderstood(mlp) &&
    (denseBlocks === undefined || isUnderstood(denseBlocks.mlp));
  const tasks = mlp.kind === "moe" ? mlp.topK : 1;
  return understood && tasks <= MOST_TASKS && bytesOf(config) <= roomFor() && canDot();
}

/** A dense MLP has some of the fields that experts have. */
function isUnderstood(mlp: MlpConfig): boolean {
  const known = Object.keys(mlp).every((field) => MLP_FIELDS.includes(field as keyof MoeConfig));
  return known && (mlp.kind === "dense" || mlp.gating.kind !== "sigmoid");
}

/** Bytes of the copied weights, at most: a row of a matrix fills whole turns of a product's loop. */
function bytesOf(config: ModelConfig): number {
  let floats = 0;
  for (const shape of paramShapes(config).values()) {
    const size = shape.reduce((a, b) => a * b, 1);
    floats += shape.length === 1 ? size : (size / fanIn(shape)) * padded(fanIn(shape));
  }
  return 4 * floats;
}

/** What a memory holds beside the vectors between products, and no more than half of what is free. */
function roomFor(): number {
  return Math.min((MAX_PAGES - 256) * PAGE, freemem() / 2);
}
