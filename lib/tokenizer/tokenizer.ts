import type { TokenPiece } from "../trace/record.ts";

export interface EncodeOptions {
  /** Whether special tokens written out in the text become those tokens; otherwise they are encoded like any text. */
  allowSpecial?: boolean;
  /** Whether the tokens that the model expects around a text (such as beginning of sequence) are added. */
  addSpecial?: boolean;
}

export interface ChatMessage {
  role: "system" | "user" | "assistant";
  content: string;
}

/** Text to token ids and back. */
export interface Tokenizer {
  /** One more than the largest id. Some ids below it may have no piece. */
  readonly vocabSize: number;
  /** The ids of control tokens by their written form. */
  readonly specials: ReadonlyMap<string, number>;
  /** The ids of a text: special text is plain, expected tokens are added, unless asked. Lone surrogates become U+FFFD. */
  encode(text: string, options?: EncodeOptions): number[];
  /**
   * The text of ids, special tokens written out. Bytes that are not UTF-8 become U+FFFD; ids without a piece are left out.
   *
   * @throws RangeError where an id is not a non-negative integer
   */
  decode(ids: Iterable<number>): string;
  /**
   * Each id as it is to be shown. An id without a piece has no bytes and no text.
   *
   * @throws RangeError where an id is not a non-negative integer
   */
  pieces(ids: Iterable<number>): TokenPiece[];
  /** The ids of a conversation up to where the assistant speaks, or null where the model has no known chat form. */
  readonly encodeChat: ((messages: readonly ChatMessage[]) => number[]) | null;
}
