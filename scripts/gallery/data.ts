// What the gallery's figures draw: the shipped model's own numbers, on its held-out passages.
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { ablateEachExpert, type ExpertAblations } from "../../lib/analysis/ablateEachExpert.ts";
import { type LogitLens, logitLens } from "../../lib/analysis/logitLens.ts";
import { loadModel, loadTokenizer } from "../../lib/checkpoint/folder.ts";
import { moeOf } from "../../lib/config.ts";
import { type HookName, hookName } from "../../lib/hooks.ts";
import type { MoeModel } from "../../lib/model.ts";
import type { Tokenizer } from "../../lib/tokenizer/tokenizer.ts";
import { attentionTrace, type Captured, expertActivations, routingTrace } from "../../lib/trace/capture.ts";
import type { AttentionTrace, ExpertActivations, RoutingTrace } from "../../lib/trace/record.ts";
import type { Comparison, RunRecord, TokenRouting } from "../../viz/index.ts";

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
  /** What each layer would predict, and how long its residual stream is. */
  lens: LogitLens;
  ablation: ExpertAblations;
  /** The same, as means by layer. */
  comparison: Comparison;
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
    const names = ["blocks.*.mlp.hook_*", "blocks.*.attn.hook_pattern", `blocks.${LAYER}.mlp.experts.*`];
    const { cache, logits } = model.runWithCache(ids, { names: names as HookName[] });
    logits.dispose();
    const captured: Captured = { cache, config: model.config, ...tokens };
    const trace = routingTrace(captured, "reference");
    const expert = trace.expertIndices[(40 * trace.layers.length + LAYER) * trace.topK]!;
    const lines = readFileSync(`${folder}/curve.jsonl`, "utf8").trim().split("\n");
    const ablation = await ablations(model, tokenizer, texts);
    const data = {
      trace,
      passages: passageTrace(model, tokenizer, texts),
      attention: trace.layers.map((layer) => attentionTrace(captured, layer)),
      activations: expertActivations(captured, LAYER, expert),
      routing: tokenRouting(captured, 40),
      lens: logitLens(model, ids, tokenizer),
      ablation,
      comparison: comparisonOf(ablation),
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

/** Every expert taken out in three ways, on the beginning of one passage of each kind. */
function ablations(
  model: MoeModel,
  tokenizer: Tokenizer,
  texts: readonly { kind: string; text: string }[],
): Promise<ExpertAblations> {
  const firsts = texts.filter(({ kind }, i) => texts.findIndex((text) => text.kind === kind) === i);
  const rows = firsts.map(({ text }) => Array.from(tokenizer.encode(text)).slice(0, LENGTH));
  return ablateEachExpert(model, rows, { kinds: ["zero", "renormalize", "reroute"] });
}

/** What taking out one expert does on average, by layer and way of taking it out; a bar spans the middle half of the experts. */
function comparisonOf({ kinds, layers, nExperts, nTokens }: ExpertAblations): Comparison {
  const own = (delta: Float64Array, row: number): Float64Array =>
    delta.slice(row * nExperts, (row + 1) * nExperts).sort();
  return {
    title: "What taking out one expert costs, by layer and way",
    quantity: "change of the loss, nats a token",
    note: `${nTokens} tokens; mean and middle half of the ${nExperts} experts of a layer`,
    series: kinds.map(({ name }) => name),
    rows: layers.map((layer, row) => ({
      name: `layer ${layer}`,
      dots: kinds.map(({ delta }) => {
        const sorted = own(delta, row);
        const value = sorted.reduce((sum, x) => sum + x, 0) / nExperts;
        return { value, low: sorted[Math.floor(nExperts / 4)]!, high: sorted[Math.ceil((3 * nExperts) / 4) - 1]! };
      }),
    })),
    baseline: { value: 0, name: "no change" },
  };
}
