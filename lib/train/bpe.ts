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

/** How often each pair of neighbours occurs and in which words, kept up to date as pairs are merged. */
class PairTable {
  readonly #words: Word[];
  readonly #counts = new Map<number, number>();
  /** The words that hold a pair, or held it once; a word may be listed twice. */
  readonly #places = new Map<number, number[]>();
  readonly #queue = new Queue();

  constructor(words: Word[]) {
    this.#words = words;
    words.forEach(({ ids, count }, word) => {
      for (let i = 1; i < ids.length; i++) this.#add(ids[i - 1]! * ID_LIMIT + ids[i]!, count, word);
    });
    for (const [pair, count] of this.#counts) this.#queue.push(pair, count);
  }

  #add(pair: number, count: number, word: number): void {
    const now = (this.#counts.get(pair) ?? 0) + count;
    this.#counts.set(pair, now);
    if (count < 0) return;
    const places = this.#places.get(pair);
    if (places === undefined) this.#places.set(pair, [word]);
    else if (places.at(-1) !== word) places.push(word);
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

  /** Replaces the pair by `id` in every word, from left to right. */
  merge({ left, right }: Pair, id: number): void {
    const pair = left * ID_LIMIT + right;
    const changed = new Set<number>();
    for (const place of new Set(this.#places.get(pair))) {
      const { ids, count } = this.#words[place]!;
      for (let i = 0; i + 1 < ids.length; i++) {
        if (ids[i] !== left || ids[i + 1] !== right) continue;
        ids.splice(i, 2, id);
        for (const [before, after, removed] of [
          [i - 1, i, left],
          [i, i + 1, right],
        ]) {
          if (before! < 0 || after! >= ids.length) continue;
          const [first, second] = [ids[before!]!, ids[after!]!];
          const old = before === i ? removed! * ID_LIMIT + second : first * ID_LIMIT + removed!;
          this.#add(old, -count, place);
          this.#add(first * ID_LIMIT + second, count, place);
          changed.add(first * ID_LIMIT + second);
        }
      }
    }
    this.#counts.delete(pair);
    this.#places.delete(pair);
    for (const grown of changed) this.#queue.push(grown, this.#counts.get(grown) ?? 0);
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
