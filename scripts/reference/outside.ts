import { spawnSync } from "node:child_process";
import type { Tokenizer } from "../../lib/tokenizer/tokenizer.ts";
import { NGram } from "./ngram.ts";

/** Symbols that an n-gram model reads: the next one is predicted from the four before it. */
const ORDER = 5;

/** What compressors and simple models need for a kind of held-out text, in bits a byte of it. */
export interface OutsideReference {
  kind: string;
  bytes: number;
  /** `xz -9` on the documents of the kind in one file, without having seen any other text. */
  xz: number;
  /** A 5-gram model of bytes, and one of the model's own tokens, that learnt from the same text as the model. */
  byteNgram: number;
  tokenNgram: number;
}

/** Measures the outside references. The n-gram models predict the end of each document too, as the model does. */
export function outsideReferences(
  train: readonly string[],
  heldOut: ReadonlyMap<string, readonly string[]>,
  tokenizer: Tokenizer,
): OutsideReference[] {
  const bytesOf = (text: string): Uint8Array => Buffer.from(text);
  const byBytes = bitsOf(train, heldOut, bytesOf, 256);
  const byTokens = bitsOf(train, heldOut, (text) => Uint32Array.from(tokenizer.encode(text)), tokenizer.vocabSize);
  return [...heldOut].map(([kind, documents], i) => {
    const bytes = documents.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    const packed = xzBytes(documents.join(""));
    return {
      kind,
      bytes,
      xz: (8 * packed) / bytes,
      byteNgram: byBytes[i]! / bytes,
      tokenNgram: byTokens[i]! / bytes,
    };
  });
}

/** Bits for all held-out documents of each kind. */
function bitsOf(
  train: readonly string[],
  heldOut: ReadonlyMap<string, readonly string[]>,
  symbolsOf: (text: string) => ArrayLike<number>,
  nSymbols: number,
): number[] {
  const each = function* (): Generator<ArrayLike<number>> {
    for (const text of train) yield symbolsOf(text);
  };
  const model = new NGram(each(), { order: ORDER, nSymbols });
  return [...heldOut.values()].map((documents) =>
    documents.reduce((bits, text) => bits + model.bits(symbolsOf(text)), 0),
  );
}

/** The length of a text that `xz -9` packed. */
function xzBytes(text: string): number {
  const { stdout, status, error } = spawnSync("xz", ["-9", "--stdout"], { input: text, maxBuffer: 1 << 30 });
  if (status !== 0)
    throw new Error("references: xz must run (Debian and Ubuntu: apt-get install xz-utils)", { cause: error });
  return stdout.length;
}
