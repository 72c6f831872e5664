/** One token as it is to be shown: its bytes are the truth, its text only where the bytes are whole characters. */
export interface TokenPiece {
  id: number;
  /** The token's bytes; a token of a byte-level tokenizer may end inside a character. */
  bytes: Uint8Array;
  /** The bytes as text, or null where they are not valid UTF-8 by themselves. */
  text: string | null;
  /** A control token (such as end of text), not text of the document. */
  special: boolean;
}

export interface TraceSource {
  engine: string;
  model: string;
  version?: string;
  /** The form that it was imported from, such as "base64 npy". */
  encoding?: string;
}

/**
 * The routing of a text as plain typed arrays: what metrics and views read, whatever engine recorded it.
 * Arrays are row-major; a token's rows are contiguous, so that tokens can be appended as they stream.
 * Every row is one that was recorded: an importer leaves out tokens and layers without routing and never fills them in.
 */
export interface RoutingTrace {
  /** Who recorded it, with which model and, where known, in which version and form. */
  source: TraceSource;
  nExperts: number;
  topK: number;
  /** The model's layer number of each traced layer, rising. Its length is n_layers here. */
  layers: number[];
  /** Token ids, sequence after sequence; -1 where the recorder kept none: [n_tokens]. */
  tokenIds: Int32Array;
  /** The tokens as they are to be shown, or null where the recorder had only ids: [n_tokens]. */
  pieces: TokenPiece[] | null;
  /** Where each sequence starts in the tokens, and after the last one their number: [n_sequences + 1]. */
  sequenceOffsets: Int32Array;
  /** Chosen experts: [n_tokens, n_layers, top_k]. */
  expertIndices: Uint16Array;
  /** Weights as applied: [n_tokens, n_layers, top_k], or null where not recorded. */
  expertWeights: Float32Array | null;
  /** Router probabilities over all experts: [n_tokens, n_layers, n_experts], or null where not recorded. */
  routerProbs: Float32Array | null;
  /** Slot 0 holds the best expert, and so on; false where the recorder did not keep the order. */
  rankOrdered: boolean;
  /** Each token's position in what the model read, where a sequence does not start at 0 or skips some: [n_tokens]. */
  positions?: Int32Array;
  /** Index into {@link PHASES} for each token, where recorded: [n_tokens]. */
  phases?: Uint8Array;
  /** The kind of text of each sequence, such as "code", where known: [n_sequences]. */
  domains?: string[];
}

/** When a token was routed: with the prompt that it stood in, or on its own after the model had produced it. */
export const PHASES = ["prefill", "decode"] as const;

/** Attention probabilities of one layer over one sequence. */
export interface AttentionTrace {
  layer: number;
  nHeads: number;
  pieces: TokenPiece[];
  /** [n_heads, q_pos, k_pos]; 0 where masked. */
  pattern: Float32Array;
}

/** The neurons of one expert over one sequence. */
export interface ExpertActivations {
  layer: number;
  expert: number;
  dFf: number;
  pieces: TokenPiece[];
  /** 1 where the token was routed to this expert; elsewhere its neurons were not computed: [n_tokens]. */
  computed: Uint8Array;
  /** `hook_post` of the expert: [n_tokens, d_ff]; NaN where not computed. */
  values: Float32Array;
}
