import { shown } from "../errors.ts";
import type { TraceSource } from "./record.ts";

/** How often each expert was chosen, from a recorder that kept no more than that. */
export interface ExpertCounts {
  source: TraceSource;
  nExperts: number;
  /** Experts per token, or null where it cannot be told. */
  topK: number | null;
  /** The model's layer number of each row, rising. */
  layers: number[];
  /** Assignments of each expert: [n_layers, n_experts]. */
  counts: Float64Array;
}

/**
 * The counts of several recordings of one model together.
 * @throws RangeError for none, or counts of different models, layers or experts per token
 */
export function mergeCounts(parts: readonly ExpertCounts[]): ExpertCounts {
  const [first] = parts;
  if (first === undefined) throw new RangeError("mergeCounts: there must be at least one, got none");
  const counts = new Float64Array(first.counts.length);
  for (const part of parts) {
    const pairs = [
      ["engine", first.source.engine, part.source.engine],
      ["model", first.source.model, part.source.model],
      ["nExperts", first.nExperts, part.nExperts],
      ["topK", first.topK, part.topK],
      ["layers", first.layers, part.layers],
    ] as const;
    for (const [what, wanted, got] of pairs)
      if (shown(wanted) !== shown(got))
        throw new RangeError(`mergeCounts: ${what} must be ${shown(wanted)} as in the first, got ${shown(got)}`);
    for (const [i, n] of part.counts.entries()) counts[i]! += n;
  }
  return { ...first, counts };
}
