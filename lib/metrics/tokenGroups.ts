import type { RoutingTrace } from "../trace/record.ts";

/** Which id a token counts for: its own, the true next one, or the one that the model predicted. */
export type Grouping = "input" | "next" | "predicted";

/**
 * The id that each token counts for, −1 for none: [n_tokens].
 * @throws RangeError for a trace without token ids, or predictions that are missing
 */
export function idsOf(
  trace: RoutingTrace,
  grouping: Grouping,
  predictedIds: ArrayLike<number> | undefined,
): Int32Array {
  const { tokenIds, sequenceOffsets, positions } = trace;
  if (grouping === "predicted") {
    if (predictedIds?.length === tokenIds.length) return Int32Array.from(predictedIds);
    const got = predictedIds?.length ?? "none";
    throw new RangeError(`vocabulary: predictedIds must hold one id for each token (${tokenIds.length}), got ${got}`);
  }
  if (tokenIds.includes(-1))
    throw new RangeError("vocabulary: the trace must hold the token ids, got one whose recorder kept none (-1)");
  if (grouping === "input") return tokenIds;
  const starts = new Set(sequenceOffsets);
  const follows = (t: number): boolean =>
    !starts.has(t + 1) && (positions === undefined || positions[t + 1] === positions[t]! + 1);
  return Int32Array.from(tokenIds, (_, t) => (follows(t) ? tokenIds[t + 1]! : -1));
}

/** Ids that were seen often enough; id i's tokens are `tokens` from offsets[i] to offsets[i + 1]. */
export interface TokenGroups {
  ids: Int32Array;
  seen: Uint32Array;
  offsets: Int32Array;
  tokens: Int32Array;
}

/**
 * Gathers the tokens of each id that was seen at least so often, ids rising.
 * @throws RangeError for a number of times that is none
 */
export function groupsOf(ids: Int32Array, minSeen: number): TokenGroups {
  if (!Number.isInteger(minSeen) || minSeen < 1)
    throw new RangeError(`vocabulary: minSeen must be a whole number of at least 1, got ${minSeen}`);
  const members = new Map<number, number[]>();
  for (const [t, id] of ids.entries()) {
    if (id < 0) continue;
    const tokens = members.get(id);
    if (tokens === undefined) members.set(id, [t]);
    else tokens.push(t);
  }
  const kept = [...members].filter(([, tokens]) => tokens.length >= minSeen).sort(([a], [b]) => a - b);
  const offsets = new Int32Array(kept.length + 1);
  for (const [i, [, tokens]] of kept.entries()) offsets[i + 1] = offsets[i]! + tokens.length;
  return {
    ids: Int32Array.from(kept, ([id]) => id),
    seen: Uint32Array.from(kept, ([, tokens]) => tokens.length),
    offsets,
    tokens: Int32Array.from(kept.flatMap(([, tokens]) => tokens)),
  };
}
