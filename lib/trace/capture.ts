import type { ActivationCache } from "../cache.ts";
import { type ModelConfig, mlpOf, moeOf } from "../config.ts";
import { hookName } from "../hooks.ts";
import type { AttentionTrace, ExpertActivations, RoutingTrace, TokenPiece } from "./record.ts";

/** What a run read, beside the cache that it filled. */
export interface Captured {
  cache: ActivationCache;
  config: ModelConfig;
  /** The sequences of the run, all of one length. */
  tokens: readonly ArrayLike<number>[];
  /** The tokens as they are to be shown, sequence after sequence; null: only ids are known. */
  pieces: TokenPiece[] | null;
}

/**
 * The routing of a run as plain typed arrays. The cache must hold `mlp.hook_expert_indices` and `hook_expert_weights` of
 * at least one layer; router probabilities go in where all those layers kept `hook_router_probs`. The experts of a token
 * count as ordered by rank where their probabilities fall, or their weights where probabilities were not kept: a hook may
 * have put others in their place (of a sigmoid router, which may choose by something else, that cannot be told).
 * @param model the model's name, for the record
 * @throws RangeError where no layer's routing was kept, or where tokens or pieces are not those of the run
 */
export function routingTrace({ cache, config, tokens, pieces }: Captured, model: string): RoutingTrace {
  const { nExperts, topK, gating } = moeOf(config, "routingTrace");
  const layers = Array.from({ length: config.nLayers }, (_, l) => l).filter(
    (l) => cache.has(hookName(l, "mlp.hook_expert_indices")) && cache.has(hookName(l, "mlp.hook_expert_weights")),
  );
  if (layers.length === 0)
    throw new RangeError(
      'routingTrace: the cache must hold "blocks.*.mlp.hook_expert_*" of some layer; name it in runWithCache',
    );
  const [batch, pos] = cache.get(hookName(layers[0]!, "mlp.hook_expert_indices")).shape as [number, number, number];
  checkRun({ tokens, pieces }, batch, pos);
  const tokenIds = Int32Array.from(tokens.flatMap((row) => Array.from(row)));
  const nTokens = tokenIds.length;
  const interleaved = <A extends Uint16Array | Float32Array>(
    hook: "mlp.hook_expert_indices" | "mlp.hook_expert_weights" | "mlp.hook_router_probs",
    out: A,
  ): A => {
    const width = out.length / (nTokens * layers.length);
    for (const [i, layer] of layers.entries()) {
      const values = cache.get(hookName(layer, hook)).dataSync();
      for (let t = 0; t < nTokens; t++)
        out.set(values.subarray(t * width, (t + 1) * width), (t * layers.length + i) * width);
    }
    return out;
  };
  const rows = nTokens * layers.length;
  const hasProbs = layers.every((l) => cache.has(hookName(l, "mlp.hook_router_probs")));
  const expertIndices = interleaved("mlp.hook_expert_indices", new Uint16Array(rows * topK));
  const expertWeights = interleaved("mlp.hook_expert_weights", new Float32Array(rows * topK));
  const routerProbs = hasProbs ? interleaved("mlp.hook_router_probs", new Float32Array(rows * nExperts)) : null;
  const preferences = routerProbs === null ? expertWeights : chosen(routerProbs, expertIndices, topK);
  return {
    source: { engine: "moescope", model },
    nExperts,
    topK,
    layers,
    tokenIds,
    pieces,
    sequenceOffsets: Int32Array.from({ length: batch + 1 }, (_, s) => s * pos),
    expertIndices,
    expertWeights,
    routerProbs,
    // A sigmoid router may choose by a bias that is not kept: its own order is taken as it is.
    rankOrdered: gating.kind === "sigmoid" || falls(preferences, topK),
  };
}

/** The router's probability of each chosen expert, slot by slot. */
function chosen(routerProbs: Float32Array, expertIndices: Uint16Array, topK: number): Float32Array {
  const nExperts = (routerProbs.length / expertIndices.length) * topK;
  return Float32Array.from(expertIndices, (e, i) => routerProbs[Math.floor(i / topK) * nExperts + e]!);
}

/** Equal values may come out of different kernels with another last bit. */
const LAST_BITS = 1e-6;

/** Whether values fall, or stay, from slot to slot of every token. */
function falls(values: Float32Array, topK: number): boolean {
  return values.every((value, i) => i % topK === 0 || value <= values[i - 1]! + LAST_BITS);
}

/** @throws RangeError where tokens or pieces are not as many as the run had */
function checkRun({ tokens, pieces }: Pick<Captured, "tokens" | "pieces">, batch: number, pos: number): void {
  const lengths = [...new Set(Array.from(tokens, (row) => row.length))];
  const found = `${tokens.length} x ${lengths.join("|")}${pieces === null ? "" : ` with ${pieces.length} pieces`}`;
  const expected = `${batch} x ${pos}${pieces === null ? "" : ` with ${batch * pos} pieces`}`;
  if (found !== expected) throw new RangeError(`capture: tokens must be the ${expected} of the run, got ${found}`);
}

/** The pieces of one sequence; ids without a tokenizer are shown as their numbers. */
function piecesOf({ tokens, pieces }: Captured, sequence: number): TokenPiece[] {
  const row = tokens[sequence];
  if (row === undefined)
    throw new RangeError(`capture: sequence must be from 0 to ${tokens.length - 1}, got ${sequence}`);
  if (pieces !== null) return pieces.slice(sequence * row.length, (sequence + 1) * row.length);
  return Array.from(row, (id) => ({ id, bytes: new TextEncoder().encode(`${id}`), text: `${id}`, special: true }));
}

/**
 * Attention of one layer over one sequence. The cache must hold its `attn.hook_pattern`.
 * @throws RangeError where it was not kept, for a sequence that is not there, or tokens that are not those of the run
 */
export function attentionTrace(captured: Captured, layer: number, sequence = 0): AttentionTrace {
  const pieces = piecesOf(captured, sequence);
  const kept = captured.cache.get(hookName(layer, "attn.hook_pattern"));
  checkRun(captured, kept.shape[0], kept.shape[3]!);
  const values = kept.dataSync<"float32">();
  const { nHeads } = captured.config;
  const size = nHeads * pieces.length ** 2;
  return { layer, nHeads, pieces, pattern: values.slice(sequence * size, (sequence + 1) * size) };
}

/**
 * The neurons of one expert over one sequence. The cache must hold the expert's `hook_post` and `hook_token_index`.
 * @throws RangeError where they were not kept, or for a sequence that is not there
 */
export function expertActivations(captured: Captured, layer: number, expert: number, sequence = 0): ExpertActivations {
  const pieces = piecesOf(captured, sequence);
  moeOf(captured.config, "expertActivations");
  const { dFf } = mlpOf(captured.config, layer);
  const rows = captured.cache.get(hookName(layer, `mlp.experts.${expert}.hook_token_index`)).dataSync();
  const neurons = captured.cache.get(hookName(layer, `mlp.experts.${expert}.hook_post`)).dataSync<"float32">();
  const computed = new Uint8Array(pieces.length);
  const values = new Float32Array(pieces.length * dFf).fill(Number.NaN);
  for (const [r, row] of rows.entries()) {
    const t = row - sequence * pieces.length;
    if (t < 0 || t >= pieces.length) continue;
    computed[t] = 1;
    values.set(neurons.subarray(r * dFf, (r + 1) * dFf), t * dFf);
  }
  return { layer, expert, dFf, pieces, computed, values };
}
