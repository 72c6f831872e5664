// Runs the examples of the docstrings of lib/metrics on the shipped model.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import type { ActivationCache } from "../../lib/cache.ts";
import { loadModel, loadTokenizer } from "../../lib/checkpoint/folder.ts";
import { type BlockHook, type Hooks, hookName } from "../../lib/hooks.ts";
import { ablateExperts } from "../../lib/interventions/ablateExperts.ts";
import { coactivation } from "../../lib/metrics/coactivation.ts";
import * as metrics from "../../lib/metrics/index.ts";
import type { MoeModel } from "../../lib/model.ts";
import { routingTrace } from "../../lib/trace/capture.ts";
import type { RoutingTrace, TokenPiece } from "../../lib/trace/record.ts";
import { docstrings } from "./docstrings.ts";
import { GROUPS } from "./page.ts";

/** Tokens of each passage, the first ones. */
const LENGTH = 64;

/** What each metric's example gives on the shipped model, as text. */
export async function exampleResults(): Promise<Map<string, string>> {
  const scope = await shippedScope();
  const { functions } = docstrings();
  const results = new Map<string, string>();
  for (const name of GROUPS.flatMap((group) => group.metrics)) {
    const code = functions
      .get(name)!
      .tags.get("example")!
      .replace(/ \/\/ .*$/, "");
    results.set(name, textOf(runInNewContext(code, { ...metrics, ...scope })));
  }
  return results;
}

async function shippedScope(): Promise<object> {
  const folder = fileURLToPath(new URL("../../models/reference", import.meta.url));
  const passages = JSON.parse(readFileSync(`${folder}/../passages.json`, "utf8")) as { kind: string; text: string }[];
  const [model, tokenizer] = [await loadModel(folder), await loadTokenizer(folder)];
  const all = passages.map(({ kind, text }) => ({ kind, ids: tokenizer.encode(text).slice(0, LENGTH) }));
  const whole = all.filter(({ ids }) => ids.length === LENGTH);
  const [tokens, domains] = [whole.map(({ ids }) => ids), whole.map(({ kind }) => kind)];
  const pieces = tokens.flatMap((ids) => tokenizer.pieces(ids));
  try {
    const { trace, cache } = traced(model, tokens, pieces, {});
    const other = traced(model, tokens, pieces, ablateExperts(0, [0], "reroute"));
    other.cache.dispose();
    const scope = { trace: { ...trace, domains }, early: other.trace, ...lastLayer(model, cache, trace) };
    cache.dispose();
    return scope;
  } finally {
    model.dispose();
  }
}

function traced(
  model: MoeModel,
  tokens: number[][],
  pieces: TokenPiece[],
  hooks: Hooks,
): { trace: RoutingTrace; cache: ActivationCache } {
  const last = `blocks.${model.config.nLayers - 1}.mlp.hook_expert_out` as const;
  const names = [
    "blocks.*.mlp.hook_expert_indices",
    "blocks.*.mlp.hook_expert_weights",
    "blocks.*.mlp.hook_router_probs",
  ];
  const { logits, cache } = model.runWithCache(tokens, { names: [...names, last], hooks });
  logits.dispose();
  return { trace: routingTrace({ cache, config: model.config, tokens, pieces }, "reference"), cache };
}

/** Outputs of the last layer's experts, and the two of them that meet most often. */
function lastLayer(model: MoeModel, cache: ActivationCache, trace: RoutingTrace): object {
  const { nExperts, topK, layers } = trace;
  const layer = layers.at(-1)!;
  const values = (hook: BlockHook) => cache.get(hookName(layer, hook)).dataSync<"float32">();
  const [indices, outs] = [values("mlp.hook_expert_indices"), values("mlp.hook_expert_out")];
  const width = outs.length / indices.length;
  const { together } = coactivation(trace).at(-1)!;
  const most = together.indexOf(together.reduce((a, b) => (b > a || Number.isNaN(a) ? b : a)));
  const pair = [Math.floor(most / nExperts), most % nExperts];
  const [x, y]: [number[], number[]] = [[], []];
  for (let from = 0; from < indices.length; from += topK) {
    const slots = pair.map((expert) => indices.subarray(from, from + topK).indexOf(expert));
    if (slots.includes(-1)) continue;
    for (const [side, slot] of slots.entries())
      (side === 0 ? x : y).push(...outs.subarray((from + slot) * width, (from + slot + 1) * width));
  }
  const [a, b] = pair.map((expert) => neuronsOf(model, layer, expert));
  return {
    outputs: { nExperts, topK, indices, weights: values("mlp.hook_expert_weights"), outputs: outs },
    x,
    y,
    nTokens: x.length / width,
    a,
    b,
    dFf: a!.length / (3 * model.config.dModel),
  };
}

/** An expert's neurons: row of the gate projection, of the up projection, and of the down projection: [d_ff, 3 * d_model]. */
function neuronsOf(model: MoeModel, layer: number, expert: number): Float32Array {
  const { mlp } = model.weights.blocks[layer]!;
  if (!("experts" in mlp)) throw new Error("the shipped model must have experts");
  const { gate, up, down } = mlp.experts.one(expert);
  const [g, u, d] = [gate, up, down].map((matrix) => matrix.dataSync<"float32">()) as [
    Float32Array,
    Float32Array,
    Float32Array,
  ];
  const dModel = model.config.dModel;
  const dFf = d.length / dModel;
  const row = (matrix: Float32Array, j: number): Float32Array => matrix.subarray(j * dModel, (j + 1) * dModel);
  return Float32Array.from(
    Array.from({ length: dFf }, (_, j) => [
      ...row(g, j),
      ...row(u, j),
      ...Array.from({ length: dModel }, (_n, i) => d[i * dFf + j]!),
    ]).flat(),
  );
}

/** Items of a list that are shown. */
const SHOWN = 8;

/** A result in a few lines: numbers in three digits, long lists cut. */
function textOf(value: unknown, depth = 0): string {
  if (typeof value === "number") return Number.isInteger(value) ? `${value}` : Number(value.toPrecision(3)).toString();
  if (ArrayBuffer.isView(value)) return textOf(Array.from(value as Float64Array), depth + 1);
  if (Array.isArray(value)) {
    const items = value.slice(0, SHOWN).map((item) => textOf(item, depth + 1));
    if (value.length > SHOWN) items.push(`… ${value.length} in all`);
    return depth === 0 ? `[\n${items.map((item) => `  ${item},`).join("\n")}\n]` : `[${items.join(", ")}]`;
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([key, item]) => `${key}: ${textOf(item, depth + 1)}`);
    return `{ ${entries.join(", ")} }`;
  }
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
