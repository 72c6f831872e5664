import type { ModelConfig } from "./config.ts";

/** One sequence of token ids, or several of the same length. */
export type Tokens = ArrayLike<number> | readonly ArrayLike<number>[];

/**
 * Token ids as one flat array, [batch*pos].
 * @param past tokens that stand before these
 * @throws RangeError for tokens that are empty, ragged, out of the vocabulary or longer than the context
 */
export function checkTokens(
  tokens: Tokens,
  { nCtx, dVocab }: Pick<ModelConfig, "nCtx" | "dVocab">,
  past: number,
): { ids: Int32Array; batch: number; pos: number } {
  const rows = (typeof tokens[0] === "number" ? [tokens] : tokens) as readonly ArrayLike<number>[];
  const pos = rows[0]?.length ?? 0;
  if (pos === 0) throw new RangeError("run: tokens must hold at least one id, got none");
  if (past + pos > nCtx)
    throw new RangeError(`run: a sequence must be at most ${nCtx} tokens long (nCtx), got ${past + pos}`);
  const ids = new Int32Array(rows.length * pos);
  for (const [b, row] of rows.entries()) {
    if (row.length !== pos)
      throw new RangeError(`run: sequences must have the same length (${pos}, the first one's), got ${row.length}`);
    for (let p = 0; p < pos; p++) {
      const id = row[p]!;
      if (!Number.isInteger(id) || id < 0 || id >= dVocab)
        throw new RangeError(`run: a token id must be a whole number from 0 to ${dVocab - 1}, got ${id}`);
      ids[b * pos + p] = id;
    }
  }
  return { ids, batch: rows.length, pos };
}
