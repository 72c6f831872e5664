import { charactersOf } from "./byteAlphabet.ts";

/** An encoding as the `tiktoken` package ships it. */
export interface TiktokenEncoding {
  /** Lines of `! <first rank> <base64> <base64> …`; a piece's rank is its id. */
  bpe_ranks: string;
  /** How text is cut into words. */
  pat_str: string;
}

/**
 * The encoding as a `tokenizer.json`. Ranks order the pieces, not the merges: each piece's merge is found by encoding
 * its bytes with the pieces before it, which leaves two parts.
 */
export function tiktokenJson({ bpe_ranks, pat_str }: TiktokenEncoding, specials: ReadonlyMap<string, number>): object {
  const ranks = new Map<string, number>();
  for (const line of bpe_ranks.split("\n")) {
    const [, first, ...entries] = line.split(" ");
    entries.forEach((entry, i) => ranks.set(charactersOf(Buffer.from(entry, "base64")), Number(first) + i));
  }
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const split = { type: "Split", pattern: { Regex: pat_str }, behavior: "Isolated", invert: false };
  const merges = [...ranks].filter(([piece]) => piece.length > 1).map(([piece, rank]) => partsOf(piece, rank, ranks));
  return {
    version: "1.0",
    added_tokens: [...specials].map(([content, id]) => ({ id, content, normalized: false, special: true })),
    normalizer: null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [split, byteLevel] },
    post_processor: null,
    decoder: byteLevel,
    model: { type: "BPE", ignore_merges: true, vocab: Object.fromEntries(ranks), merges },
  };
}

/** The parts that a piece is merged from: lowest rank first, below its own. */
function partsOf(piece: string, rank: number, ranks: ReadonlyMap<string, number>): string[] {
  const parts = piece.split("");
  while (parts.length > 2) {
    let [best, at] = [rank, -1];
    for (let i = 0; i + 1 < parts.length; i++) {
      const merged = ranks.get(parts[i]! + parts[i + 1]!) ?? rank;
      if (merged < best) [best, at] = [merged, i];
    }
    if (at < 0) break;
    parts.splice(at, 2, parts[at]! + parts[at + 1]!);
  }
  return parts;
}
