import type { MoeModel } from "../model.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { routingTrace } from "./capture.ts";
import type { RoutingTrace } from "./record.ts";

/** A text, and what kind it is, such as "code". */
export interface TextOfKind {
  text: string;
  kind: string;
}

export interface TraceTextsOptions {
  /** The model's name, for the record. */
  name?: string;
  /** Most tokens to read together, the model's context where absent; a longer text is cut, and each piece starts anew. */
  window?: number;
  /** Also keep the router's probability of every expert; true where absent. */
  probs?: boolean;
}

/**
 * The routing of texts, one trace for each window of a text, with the text's kind as its domain; `joinTraces` makes them
 * one. A text without tokens gives none.
 * @throws RangeError for a window that the model cannot read
 * @example const trace = joinTraces([...traceTexts(model, tokenizer, texts)]);
 */
export function* traceTexts(
  model: MoeModel,
  tokenizer: Tokenizer,
  texts: Iterable<TextOfKind>,
  { name = "unknown", window = model.config.nCtx, probs = true }: TraceTextsOptions = {},
): Generator<RoutingTrace> {
  const { nCtx, nLayers } = model.config;
  if (!Number.isInteger(window) || window < 1 || window > nCtx)
    throw new RangeError(`traceTexts: window must be from 1 to the model's context (${nCtx}), got ${window}`);
  const names = ["hook_expert_indices", "hook_expert_weights", ...(probs ? ["hook_router_probs"] : [])];
  const options = { names: names.map((hook) => `blocks.*.mlp.${hook}`), stopAtLayer: nLayers };
  for (const { text, kind } of texts) {
    const ids = tokenizer.encode(text);
    for (let start = 0; start < ids.length; start += window) {
      const tokens = [ids.slice(start, start + window)];
      const { logits, cache } = model.runWithCache(tokens, options);
      const captured = { cache, config: model.config, tokens, pieces: tokenizer.pieces(tokens[0]!) };
      const trace = { ...routingTrace(captured, name), domains: [kind] };
      cache.dispose();
      logits.dispose();
      yield trace;
    }
  }
}
