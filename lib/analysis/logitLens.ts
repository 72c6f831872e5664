import * as tf from "@tensorflow/tfjs";
import { type HookName, type Hooks, hookName } from "../hooks.ts";
import type { MoeModel } from "../model.ts";
import { nextTokenLoss } from "../nextTokenLoss.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import type { TokenPiece } from "../trace/record.ts";

/** What the unembedding reads from the residual stream at each depth. The views of the lens and of lengths draw it. */
export interface LogitLens {
  /** Where each row was read: "embedding" (`hook_embed`), "layer 0" (`blocks.0.hook_resid_post`) … */
  rows: string[];
  /** The text: [n_tokens]. */
  pieces: TokenPiece[];
  dVocab: number;
  /** The most probable next tokens, best first, equal ones by lower id: [n_rows, n_tokens, n_top]. */
  topIds: Int32Array;
  topProbs: Float32Array;
  /** The tokens behind the ids. */
  vocabulary: Map<number, TokenPiece>;
  /** Rank, from 1, of the token that the last row predicts: [n_rows, n_tokens]. */
  finalRank: Float32Array;
  /** −ln p of the text's own next token, in nats: [n_rows, n_tokens − 1]. */
  nextLoss: Float32Array;
  /** Euclidean length of the residual stream: [n_rows, n_tokens]. */
  norms: Float32Array;
  /** What was applied before the unembedding. */
  lens: string;
}

export interface LogitLensOptions {
  /** Tokens listed at each place; 5 where absent. */
  nTop?: number;
  hooks?: Hooks;
}

/**
 * The logit lens: the residual stream after the embedding and after each layer, read by the final norm and the unembedding
 * as if it were the last. The norm's scale is each row's own. The last row is the model's real prediction.
 * @param tokens one sequence of at least two
 * @throws RangeError for fewer tokens, or nTop outside 1 … d_vocab
 * @see nostalgebraist 2020, "interpreting GPT: the logit lens"
 * @example show(logitLens(moe.logitLens(model, ids, tokenizer))) // with logitLens of moescope/viz
 */
export function logitLens(
  model: MoeModel,
  tokens: ArrayLike<number>,
  tokenizer: Pick<Tokenizer, "pieces">,
  { nTop = 5, hooks = {} }: LogitLensOptions = {},
): LogitLens {
  const { nLayers, dVocab } = model.config;
  if (!Number.isInteger(nTop) || nTop < 1 || nTop > dVocab)
    throw new RangeError(`logitLens: nTop must be a whole number from 1 to ${dVocab}, got ${nTop}`);
  const layers = Array.from({ length: nLayers }, (_, layer) => layer);
  const names: HookName[] = ["hook_embed", ...layers.map((layer) => hookName(layer, "hook_resid_post"))];
  const { logits, cache } = model.runWithCache([tokens], { names, hooks });
  const final = tf.tidy(() => logits.argMax(-1).dataSync<"int32">());
  logits.dispose();
  const read = names.map((name) => {
    const row = readRow(model, cache.get(name) as tf.Tensor3D, tokens, { final, nTop });
    return { ...row, norms: valuesOf(() => cache.get(name).norm("euclidean", -1)) };
  });
  cache.dispose();
  const topIds = Int32Array.from(read.flatMap((row) => [...row.topIds]));
  const listed = [...new Set(topIds)];
  const shown = tokenizer.pieces(listed);
  const joined = (part: "topProbs" | "finalRank" | "nextLoss" | "norms"): Float32Array =>
    Float32Array.from(read.flatMap((row) => [...row[part]]));
  return {
    rows: ["embedding", ...layers.map((layer) => `layer ${layer}`)],
    pieces: tokenizer.pieces(Array.from(tokens)),
    dVocab,
    topIds,
    topProbs: joined("topProbs"),
    vocabulary: new Map(listed.map((id, i) => [id, shown[i]!])),
    finalRank: joined("finalRank"),
    nextLoss: joined("nextLoss"),
    norms: joined("norms"),
    lens: "the final norm",
  };
}

interface Row {
  topIds: ArrayLike<number> & Iterable<number>;
  topProbs: Float32Array;
  finalRank: Float32Array;
  nextLoss: Float32Array;
}

/** @param residual [1, pos, d_model] */
function readRow(
  model: MoeModel,
  residual: tf.Tensor3D,
  tokens: ArrayLike<number>,
  { final, nTop }: { final: Int32Array; nTop: number },
): Row {
  const { dVocab, nLayers } = model.config;
  const logits = model.runFrom(residual, nLayers);
  const [probs, ids] = tf.tidy(() => {
    const { values, indices } = tf.topk(tf.softmax(logits), nTop);
    return [values, indices] as const;
  });
  const row = {
    topIds: ids.dataSync<"int32">(),
    topProbs: probs.dataSync<"float32">(),
    finalRank: valuesOf(() => {
      const places = Int32Array.from(final, (id, t) => t * dVocab + id);
      const own = tf.gather(logits.reshape([-1]), tf.tensor1d(places, "int32")).reshape([1, -1, 1]);
      return logits.greater(own).cast("float32").sum(-1).add(1);
    }),
    nextLoss: nextTokenLoss(logits, [tokens]).perToken,
  };
  tf.dispose([probs, ids, logits]);
  return row;
}

function valuesOf(compute: () => tf.Tensor): Float32Array {
  const value = tf.tidy(compute);
  const values = value.dataSync<"float32">();
  value.dispose();
  return values;
}
