import * as tf from "@tensorflow/tfjs";
import { tokensOf } from "../../lib/cli/corpus.ts";
import type { MoeModel } from "../../lib/model.ts";
import type { Tokenizer } from "../../lib/tokenizer/tokenizer.ts";
import { routingTrace } from "../../lib/trace/capture.ts";
import type { RoutingTrace } from "../../lib/trace/record.ts";
import { joinTraces } from "../../lib/trace/sequences.ts";
import { crossEntropy } from "../../lib/train/losses.ts";

/** The windows of one kind of the probe text. */
export interface ProbeKind {
  kind: string;
  /** Tokens of each window, and the one that follows each: [n_windows][pos]. */
  inputs: Int32Array[];
  labels: Int32Array[];
  /** Bytes of the text that the labels stand for. */
  bytes: number;
}

/** Windows of a kind of held-out text, as far from each other as they can be: the same text for every model and step. */
export function probeKind(
  kind: string,
  documents: readonly string[],
  tokenizer: Tokenizer,
  { nWindows, pos }: { nWindows: number; pos: number },
): ProbeKind {
  const tokens = Int32Array.from(tokensOf(documents, tokenizer));
  const most = Math.floor((tokens.length - 1) / pos);
  if (most < nWindows)
    throw new RangeError(`probe: ${kind} must hold ${nWindows * pos + 1} held-out tokens, got ${tokens.length}`);
  const starts = Array.from({ length: nWindows }, (_, w) => Math.floor((w * most) / nWindows) * pos);
  const labels = starts.map((start) => tokens.subarray(start + 1, start + pos + 1));
  const pieces = labels.flatMap((row) => tokenizer.pieces([...row]));
  return {
    kind,
    inputs: starts.map((start) => tokens.subarray(start, start + pos)),
    labels,
    bytes: pieces.reduce((sum, piece) => sum + (piece.special ? 0 : piece.bytes.length), 0),
  };
}

/** What a model makes of the probe text. */
export interface ProbeReading {
  /** By kind, of the text that the labels stand for. */
  bitsPerByte: Record<string, number>;
  /** Over all kinds. */
  natsPerToken: number;
  /** With router probabilities and domains; null for a model without a router. */
  trace: RoutingTrace | null;
}

const ROUTING = [
  "blocks.*.mlp.hook_expert_indices",
  "blocks.*.mlp.hook_expert_weights",
  "blocks.*.mlp.hook_router_probs",
];

/** Runs the probe text through a model, a kind at a time. */
export function readProbe(model: MoeModel, probe: readonly ProbeKind[], name: string): ProbeReading {
  const hasRouter = model.config.mlp.kind === "moe";
  const traces: RoutingTrace[] = [];
  const nats = probe.map(({ kind, inputs, labels }) => {
    const { logits, cache } = model.runWithCache(inputs, { names: hasRouter ? ROUTING : [] });
    const flat = Int32Array.from(labels.flatMap((row) => [...row]));
    const mean = tf.tidy(() => crossEntropy(logits.reshape([flat.length, -1]), flat).dataSync()[0]!);
    if (hasRouter) {
      const trace = routingTrace({ cache, config: model.config, tokens: inputs, pieces: null }, name);
      traces.push({ ...trace, domains: inputs.map(() => kind) });
    }
    logits.dispose();
    cache.dispose();
    return mean * flat.length;
  });
  const nTokens = probe.reduce((sum, { labels }) => sum + labels.length * labels[0]!.length, 0);
  return {
    bitsPerByte: Object.fromEntries(probe.map(({ kind, bytes }, i) => [kind, nats[i]! / Math.LN2 / bytes])),
    natsPerToken: nats.reduce((sum, value) => sum + value, 0) / nTokens,
    trace: hasRouter ? joinTraces(traces) : null,
  };
}
