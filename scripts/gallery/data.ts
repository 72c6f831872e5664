// What the gallery's figures draw: the shipped model's own numbers, on its held-out passages.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type * as tf from "@tensorflow/tfjs";
import type { ActivationCache } from "../../lib/cache.ts";
import { loadModel, loadTokenizer } from "../../lib/checkpoint/folder.ts";
import { moeOf } from "../../lib/config.ts";
import { type HookName, hookName } from "../../lib/hooks.ts";
import { type Ablation, ablateExperts } from "../../lib/interventions/ablateExperts.ts";
import type { MoeModel } from "../../lib/model.ts";
import { nextTokenLoss } from "../../lib/nextTokenLoss.ts";
import type { Tokenizer } from "../../lib/tokenizer/tokenizer.ts";
import { attentionTrace, type Captured, expertActivations, routingTrace } from "../../lib/trace/capture.ts";
import type { AttentionTrace, ExpertActivations, RoutingTrace } from "../../lib/trace/record.ts";
import type { AblationResults, LensResult, ResidualNorms, RunRecord, TokenRouting } from "../../viz/index.ts";

/** Tokens of the text that most figures show, and of each passage behind the counts. */
const LENGTH = 72;
const PASSAGE = 128;

const LAYER = 3;

export interface GalleryData {
  /** The routing of one text, and of all passages with their kinds. */
  trace: RoutingTrace;
  passages: RoutingTrace;
  /** Attention of every layer, and the neurons of the text's first choice of expert, in layer 3. */
  attention: AttentionTrace[];
  activations: ExpertActivations;
  /** One token at the router of layer 3. */
  routing: TokenRouting;
  lens: LensResult;
  norms: ResidualNorms;
  ablation: AblationResults;
  records: RunRecord[];
  dVocab: number;
}

/** Runs the shipped model. The backend must be in use. */
export async function galleryData(): Promise<GalleryData> {
  const folder = fileURLToPath(new URL("../../models/reference", import.meta.url));
  const texts = JSON.parse(readFileSync(`${folder}/../passages.json`, "utf8")) as { kind: string; text: string }[];
  const [model, tokenizer] = [await loadModel(folder), await loadTokenizer(folder)];
  try {
    const ids = Array.from(tokenizer.encode(textOf(texts))).slice(0, LENGTH);
    const tokens = { tokens: [ids], pieces: tokenizer.pieces(ids) };
    const names = [
      "blocks.*.mlp.hook_*",
      "blocks.*.attn.hook_pattern",
      "hook_embed",
      "blocks.*.hook_resid_post",
      `blocks.${LAYER}.mlp.experts.*`,
    ];
    const { cache, logits } = model.runWithCache(ids, { names: names as HookName[] });
    logits.dispose();
    const captured: Captured = { cache, config: model.config, ...tokens };
    const trace = routingTrace(captured, "reference");
    const expert = trace.expertIndices[(40 * trace.layers.length + LAYER) * trace.topK]!;
    const lines = readFileSync(`${folder}/curve.jsonl`, "utf8").trim().split("\n");
    const data = {
      trace,
      passages: passageTrace(model, tokenizer, texts),
      attention: trace.layers.map((layer) => attentionTrace(captured, layer)),
      activations: expertActivations(captured, LAYER, expert),
      routing: tokenRouting(captured, 40),
      ...residuals(model, tokenizer, captured),
      ablation: ablations(model, tokenizer, texts),
      records: lines.map((line) => JSON.parse(line) as RunRecord),
      dVocab: model.config.dVocab,
    };
    cache.dispose();
    return data;
  } finally {
    model.dispose();
  }
}

/** A text of several kinds: prose, then code. */
function textOf(texts: readonly { kind: string; text: string }[]): string {
  const first = (kind: string, length: number): string =>
    texts.find((text) => text.kind === kind)!.text.slice(0, length);
  return `${first("english", 96)}\n\n${first("python", 160)}`;
}

/** The first tokens of every passage, as one batch. */
function rowsOf(tokenizer: Tokenizer, texts: readonly { text: string }[]): number[][] {
  return texts.map(({ text }) => Array.from(tokenizer.encode(text)).slice(0, PASSAGE));
}

function passageTrace(
  model: MoeModel,
  tokenizer: Tokenizer,
  texts: readonly { kind: string; text: string }[],
): RoutingTrace {
  const rows = rowsOf(tokenizer, texts);
  const { cache, logits } = model.runWithCache(rows, {
    names: ["blocks.*.mlp.hook_expert_*", "blocks.*.mlp.hook_router_probs"],
  });
  const pieces = rows.flatMap((row) => tokenizer.pieces(row));
  const trace = routingTrace({ cache, config: model.config, tokens: rows, pieces }, "reference");
  cache.dispose();
  logits.dispose();
  return { ...trace, domains: texts.map(({ kind }) => kind) };
}

function tokenRouting({ cache, config, pieces }: Captured, position: number): TokenRouting {
  const row = (hook: Parameters<typeof hookName>[1]): Float32Array | Int32Array | Uint8Array => {
    const value = cache.get(hookName(LAYER, hook));
    const width = value.size / value.shape[1]!;
    return value.dataSync().slice(position * width, (position + 1) * width);
  };
  return {
    layer: LAYER,
    position,
    piece: pieces![position]!,
    topK: moeOf(config).topK,
    gating: moeOf(config).gating,
    logits: row("mlp.hook_router_logits"),
    indices: row("mlp.hook_expert_indices"),
    weights: row("mlp.hook_expert_weights"),
    outputs: row("mlp.hook_expert_out"),
  };
}

/** Tokens listed in each cell of the lens. */
const LISTED = 5;

/** The residual stream after the embedding and each layer: its length, and what the unembedding reads from it. */
function residuals(
  model: MoeModel,
  tokenizer: Tokenizer,
  captured: Captured,
): { lens: LensResult; norms: ResidualNorms } {
  const { cache, config, tokens, pieces } = captured;
  const last = hookName(config.nLayers - 1, "hook_resid_post");
  const names: HookName[] = [
    "hook_embed",
    ...Array.from({ length: config.nLayers }, (_, l) => hookName(l, "hook_resid_post")),
  ];
  const probs = names.map((name) => {
    const logits = model.runWithHooks(tokens[0]!, { [last]: () => cache.get(name).clone() });
    const values = Float32Array.from(readOut(logits.softmax(-1)));
    logits.dispose();
    return values;
  });
  const rowOf = (at: Float32Array, t: number): Float32Array => at.subarray(t * config.dVocab, (t + 1) * config.dVocab);
  const n = tokens[0]!.length;
  const final = Array.from({ length: n }, (_, t) =>
    rowOf(probs.at(-1)!, t).reduce((best, p, id, row) => (p > row[best]! ? id : best), 0),
  );
  const cells = probs.flatMap((at) =>
    Array.from({ length: n }, (_, t) => {
      const row = rowOf(at, t);
      const ids = [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b);
      return { top: ids.slice(0, LISTED).map((id) => ({ id, p: row[id]! })), rank: ids.indexOf(final[t]!) + 1 };
    }),
  );
  const used = [...new Set(cells.flatMap(({ top }) => top.map(({ id }) => id)))];
  const shown = tokenizer.pieces(used);
  const rows = ["embedding", ...Array.from({ length: config.nLayers }, (_, l) => `layer ${l}`)];
  const lens = {
    rows,
    pieces: pieces!,
    dVocab: config.dVocab,
    topIds: cells.flatMap(({ top }) => top.map(({ id }) => id)),
    topProbs: cells.flatMap(({ top }) => top.map(({ p }) => p)),
    vocabulary: new Map(used.map((id, i) => [id, shown[i]!])),
    finalRank: cells.map(({ rank }) => rank),
    lens: "the final norm",
  };
  return { lens, norms: { rows, pieces: pieces!, norms: names.flatMap((name) => [...lengths(cache, name)]) } };
}

function readOut(value: tf.Tensor): ArrayLike<number> & Iterable<number> {
  const values = value.dataSync();
  value.dispose();
  return values;
}

function lengths(cache: ActivationCache, name: HookName): Iterable<number> {
  return readOut(cache.get(name).norm("euclidean", -1));
}

/** Every expert taken out in three ways, on one passage of each kind. */
function ablations(
  model: MoeModel,
  tokenizer: Tokenizer,
  texts: readonly { kind: string; text: string }[],
): AblationResults {
  const firsts = texts.filter(({ kind }, i) => texts.findIndex((text) => text.kind === kind) === i);
  const rows = rowsOf(tokenizer, firsts);
  const { nLayers } = model.config;
  const mlp = moeOf(model.config);
  const { cache, logits } = model.runWithCache(rows, { names: ["blocks.*.mlp.hook_expert_*"] });
  const { expertIndices, topK } = routingTrace(
    { cache, config: model.config, tokens: rows, pieces: null },
    "reference",
  );
  const tokens = new Float64Array(nLayers * mlp.nExperts);
  for (const [i, expert] of expertIndices.entries())
    tokens[(Math.floor(i / topK) % nLayers) * mlp.nExperts + expert]! += 1;
  const base = losses(logits, rows);
  cache.dispose();
  const kinds = (["zero", "renormalize", "reroute"] as const).map((name: Ablation) => {
    const runs = Array.from({ length: nLayers * mlp.nExperts }, (_, i) => {
      const hooks = ablateExperts(Math.floor(i / mlp.nExperts), [i % mlp.nExperts], name);
      const changes = losses(model.runWithHooks(rows, hooks), rows).map((loss, row) => loss - base[row]!);
      return interval(changes);
    });
    return {
      name,
      delta: runs.map(({ mean }) => mean),
      low: runs.map(({ low }) => low),
      high: runs.map(({ high }) => high),
    };
  });
  const layers = Array.from({ length: nLayers }, (_, layer) => layer);
  return {
    layers,
    nExperts: mlp.nExperts,
    nTokens: rows.length * PASSAGE,
    baseLoss: interval(base).mean,
    tokens,
    kinds,
  };
}

/** Mean loss of each row; the logits are used up. */
function losses(logits: tf.Tensor3D, rows: readonly number[][]): number[] {
  const values = rows.map((row, i) => {
    const own = logits.slice([i, 0, 0], [1, -1, -1]);
    const { mean } = nextTokenLoss(own, row);
    own.dispose();
    return mean;
  });
  logits.dispose();
  return values;
}

/** Student's t for 95 % with 6 degrees of freedom: seven passages. */
const T_95 = 2.447;

function interval(values: readonly number[]): { mean: number; low: number; high: number } {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  const variance = values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (values.length - 1);
  const half = T_95 * Math.sqrt(variance / values.length);
  return { mean, low: mean - half, high: mean + half };
}
