import { ConfigError, shown } from "../errors.ts";
import { BYTE_CHARACTERS } from "../tokenizer/byteAlphabet.ts";

/**
 * How text is cut before pieces are learned; no piece crosses a cut. cl100k's pattern with two changes: each digit
 * stands alone, so that arithmetic has one piece a digit, and contractions are cut in lower case only.
 */
export const SPLIT_PATTERN =
  "'(?:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** A byte-level BPE tokenizer in the form of Hugging Face's `tokenizer.json`. */
export interface BpeTokenizerJson {
  version: "1.0";
  added_tokens: { id: number; content: string; special: true; [option: string]: unknown }[];
  model: { type: "BPE"; vocab: Record<string, number>; merges: [string, string][]; [option: string]: unknown };
  [part: string]: unknown;
}

export interface BpeOptions {
  /** Pieces in all: the special ones, the 256 bytes and the merged ones. Fewer where the text has no more pairs. */
  vocabSize: number;
  /** Pieces that stand for no text; they take the first ids. */
  specials?: readonly string[];
  /** Called after every hundredth merge. */
  onProgress?: (merges: number, of: number) => void;
}

/**
 * Learns a byte-level BPE vocabulary: while there is room, the most frequent pair of neighbouring pieces becomes a
 * piece. Of equally frequent pairs the one with the smaller ids (left first) wins, the rule of Hugging Face's
 * `tokenizers`; ids are the specials, then the bytes in the order of their characters, then the merges as learned.
 *
 * @throws ConfigError where `vocabSize` has no room for the specials and the bytes
 */
export function trainBpe(
  texts: Iterable<string>,
  { vocabSize, specials = ["<|endoftext|>"], onProgress }: BpeOptions,
): BpeTokenizerJson {
  const room = specials.length + 256;
  if (!Number.isInteger(vocabSize) || vocabSize < room) {
    throw new ConfigError(`trainBpe: vocabSize must be an integer of at least ${room}, got ${shown(vocabSize)}`);
  }
  const pieces = [...specials, ...BYTE_CHARACTERS.toSorted()];
  const ids = new Map(pieces.map((piece, id) => [piece, id]));
  const merges: [string, string][] = [];
  const words = countedWords(
    texts,
    BYTE_CHARACTERS.map((character) => ids.get(character)!),
  );
  const pairs = new PairTable(words);
  for (let best = pairs.best(); best !== null && pieces.length < vocabSize; best = pairs.best()) {
    const [left, right] = [pieces[best.left]!, pieces[best.right]!];
    const piece = left + right;
    const id = ids.get(piece) ?? pieces.push(piece) - 1;
    ids.set(piece, id);
    merges.push([left, right]);
    pairs.merge(best, id);
    if (merges.length % 100 === 0) onProgress?.(merges.length, vocabSize - room);
  }
  return tokenizerJson(Object.fromEntries(ids), merges, specials);
}

/** A distinct piece of the split text, as ids, and how often it occurs. */
interface Word {
  ids: number[];
  count: number;
}

function countedWords(texts: Iterable<string>, byteIds: readonly number[]): Word[] {
  const counts = new Map<string, number>();
  const pattern = new RegExp(
    SPLIT_PATTERN.replaceAll("\\s", "\\p{White_Space}").replaceAll("\\S", "\\P{White_Space}"),
    "gu",
  );
  for (const text of texts) {
    for (const [word] of text.matchAll(pattern)) counts.set(word, (counts.get(word) ?? 0) + 1);
  }
  const encoder = new TextEncoder();
  return [...counts].map(([word, count]) => ({
    ids: Array.from(encoder.encode(word), (byte) => byteIds[byte]!),
    count,
  }));
}

interface Pair {
  left: number;
  right: number;
}

/** More ids than any vocabulary has, so that a pair fits into one number that orders as its ids do. */
const ID_LIMIT = 2 ** 24;

function pairsOf(ids: readonly number[]): number[] {
  return ids.slice(1).map((id, i) => ids[i]! * ID_LIMIT + id);
}

/** The ids with the pair replaced by `id`, from left to right. */
function merged(ids: readonly number[], { left, right }: Pair, id: number): number[] {
  const result: number[] = [];
  for (let i = 0; i < ids.length; i++) {
    const isPair = ids[i] === left && ids[i + 1] === right;
    result.push(isPair ? id : ids[i]!);
    if (isPair) i++;
  }
  return result;
}

/** How often each pair of neighbours occurs and in which words, kept up to date as pairs are merged. */
class PairTable {
  readonly #counts = new Map<number, number>();
  /** The words that hold a pair, or held it once. */
  readonly #places = new Map<number, Set<Word>>();
  readonly #queue = new Queue();

  constructor(words: Word[]) {
    for (const word of words) for (const pair of pairsOf(word.ids)) this.#add(pair, word);
    for (const [pair, count] of this.#counts) this.#queue.push(pair, count);
  }

  #count(pair: number, change: number): void {
    this.#counts.set(pair, (this.#counts.get(pair) ?? 0) + change);
  }

  #add(pair: number, word: Word): void {
    this.#count(pair, word.count);
    const places = this.#places.get(pair);
    if (places === undefined) this.#places.set(pair, new Set([word]));
    else places.add(word);
  }

  /** The most frequent pair, or null where none is left. Counts in the queue may be old: such a pair is queued again. */
  best(): Pair | null {
    for (let top = this.#queue.pop(); top !== null; top = this.#queue.pop()) {
      const count = this.#counts.get(top.pair) ?? 0;
      if (count === top.count && count > 0)
        return { left: Math.floor(top.pair / ID_LIMIT), right: top.pair % ID_LIMIT };
      if (count > 0 && count < top.count) this.#queue.push(top.pair, count);
    }
    return null;
  }

  /** Replaces the pair by `id` in every word. Only pairs with the new id can grow, so only they are queued. */
  merge(best: Pair, id: number): void {
    const pair = best.left * ID_LIMIT + best.right;
    const grown = new Set<number>();
    for (const word of this.#places.get(pair) ?? []) {
      for (const old of pairsOf(word.ids)) this.#count(old, -word.count);
      word.ids = merged(word.ids, best, id);
      for (const now of pairsOf(word.ids)) {
        if (now % ID_LIMIT === id || Math.floor(now / ID_LIMIT) === id) {
          this.#add(now, word);
          grown.add(now);
        } else {
          this.#count(now, word.count);
        }
      }
    }
    this.#counts.delete(pair);
    this.#places.delete(pair);
    for (const now of grown) this.#queue.push(now, this.#counts.get(now)!);
  }
}

/** A binary heap of pairs: higher counts first, then smaller pairs. */
class Queue {
  readonly #items: { pair: number; count: number }[] = [];

  #before(a: number, b: number): boolean {
    const [x, y] = [this.#items[a]!, this.#items[b]!];
    return x.count !== y.count ? x.count > y.count : x.pair < y.pair;
  }

  #swap(a: number, b: number): void {
    [this.#items[a], this.#items[b]] = [this.#items[b]!, this.#items[a]!];
  }

  push(pair: number, count: number): void {
    let at = this.#items.push({ pair, count }) - 1;
    for (let parent = (at - 1) >> 1; at > 0 && this.#before(at, parent); parent = (at - 1) >> 1) {
      this.#swap(at, parent);
      at = parent;
    }
  }

  pop(): { pair: number; count: number } | null {
    const top = this.#items[0];
    const last = this.#items.pop();
    if (top === undefined || last === undefined) return null;
    if (this.#items.length > 0) this.#items[0] = last;
    for (let at = 0; ; ) {
      const children = [2 * at + 1, 2 * at + 2].filter((child) => child < this.#items.length);
      const best = children.reduce((a, b) => (this.#before(b, a) ? b : a), at);
      if (best === at) return top;
      this.#swap(at, best);
      at = best;
    }
  }
}

function tokenizerJson(
  vocab: Record<string, number>,
  merges: [string, string][],
  specials: readonly string[],
): BpeTokenizerJson {
  const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: false };
  const split = { type: "Split", pattern: { Regex: SPLIT_PATTERN }, behavior: "Isolated", invert: false };
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specials.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: "Sequence", pretokenizers: [split, byteLevel] },
    post_processor: null,
    decoder: byteLevel,
    model: {
      type: "BPE",
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab,
      merges,
    },
  };
}
