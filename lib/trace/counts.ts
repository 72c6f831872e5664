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
