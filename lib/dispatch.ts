/** Where each assignment (token and slot) goes; an assignment's number is token · top_k + slot. */
export interface Dispatch {
  topK: number;
  /** Assignments of each expert, [n_experts]. */
  counts: Int32Array;
  /** Where each expert's run starts in `order`, [n_experts]. */
  starts: Int32Array;
  /** Assignments sorted by expert, and within an expert by number, [rows*top_k]. */
  order: Int32Array;
}

/**
 * Sorts assignments by expert (a counting sort).
 * @param indices chosen experts, [rows, top_k]
 */
export function dispatch(indices: Int32Array, topK: number, nExperts: number): Dispatch {
  const counts = new Int32Array(nExperts);
  for (let a = 0; a < indices.length; a++) counts[indices[a]!]!++;
  const starts = new Int32Array(nExperts);
  for (let e = 1; e < nExperts; e++) starts[e] = starts[e - 1]! + counts[e - 1]!;
  const next = starts.slice();
  const order = new Int32Array(indices.length);
  for (let a = 0; a < indices.length; a++) order[next[indices[a]!]!++] = a;
  return { topK, counts, starts, order };
}

/** The experts that have tokens. */
export function busyExperts({ counts }: Dispatch): number[] {
  return [...counts.keys()].filter((e) => counts[e]! > 0);
}
