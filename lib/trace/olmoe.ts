import { CheckpointError, shown } from "../errors.ts";
import { type Importer, needed } from "./imported.ts";
import { type JsonObject, jsonObjects, tokenList } from "./json.ts";
import { checkRouting, type RawSequence } from "./routing.ts";

/** @returns whether a JSON object is a block of OLMoE's dump */
export function isOlmoe(value: JsonObject): boolean {
  return "exp_ids" in value && "input_ids" in value;
}

/** Experts of one block, in the trace's order: [n_tokens, n_layers, top_k]. */
interface Block {
  ids: Int32Array;
  nLayers: number;
  topK: number;
}

/**
 * Reads the dump of OLMoE's analysis (`run_moe_analysis.py --do_inference`): a JSON object for each block of tokens, with
 * `input_ids` and `exp_ids`, by token, rank and layer. Blocks run on over documents without a mark between them.
 * @see https://arxiv.org/abs/2409.02060
 */
export const importOlmoe: Importer = async (where, bytes, options = {}) => {
  const sequences: RawSequence[] = [];
  let sizes: Pick<Block, "nLayers" | "topK"> | null = null;
  let predicts = false;
  for (const [n, value] of [...jsonObjects(where, bytes)].entries()) {
    const at = `${where}: block ${n}`;
    const tokenIds = tokenList(`${at}: input_ids`, value["input_ids"]);
    if (tokenIds === null) throw new CheckpointError(`${at}: input_ids must be there, got none`);
    const block = blockOf(`${at}: exp_ids`, value["exp_ids"], tokenIds.length);
    sizes ??= block;
    if (block.nLayers !== sizes.nLayers || block.topK !== sizes.topK)
      throw new CheckpointError(
        `${at}: must have ${sizes.topK} ranks of ${sizes.nLayers} layers as those before, got ${block.topK} of ${block.nLayers}`,
      );
    predicts ||= "predicted_token_ids" in value;
    sequences.push({ ids: block.ids, tokenIds, positions: tokenIds.map((_, t) => t), phases: null });
  }
  if (sizes === null) throw new CheckpointError(`${where}: must hold a block of tokens, got none`);
  const { nLayers, topK } = sizes;
  const source = { engine: "olmoe", model: options.model ?? "unknown", encoding: "exp_ids" };
  const nExperts = needed(where, "nExperts", options.nExperts);
  const imported = checkRouting(where, { source, nLayers, topK, rankOrdered: true, sequences }, nExperts, options);
  if (predicts) imported.findings.push("predicted tokens have no place in a trace: left out");
  return imported;
};

/** Lists by token, rank and layer, all of the same length; ranks and layers change places. */
function blockOf(where: string, value: unknown, nTokens: number): Block {
  const list = (what: string, items: unknown, length: number | null): unknown[] => {
    if (!Array.isArray(items) || items.length === 0 || (length !== null && items.length !== length))
      throw new CheckpointError(`${where}: ${what} must be a list of ${length ?? "some"} items, got ${shown(items)}`);
    return items;
  };
  const tokens = list("tokens", value, nTokens);
  const ranks = list("ranks", tokens[0], null);
  const topK = ranks.length;
  const nLayers = list("layers", ranks[0], null).length;
  const ids = new Int32Array(nTokens * nLayers * topK);
  for (const [t, token] of tokens.entries())
    for (const [rank, layers] of list("ranks", token, topK).entries())
      for (const [l, id] of list("layers", layers, nLayers).entries()) {
        if (!Number.isInteger(id) || (id as number) !== ((id as number) | 0))
          throw new CheckpointError(`${where}: an expert must be a whole number, got ${shown(id)}`);
        ids[(t * nLayers + l) * topK + rank] = id as number;
      }
  return { ids, nLayers, topK };
}
