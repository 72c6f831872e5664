import type { ModelConfig } from "../config.ts";
import { type Dots, dotsOn, padded } from "./dots.ts";
import { softmax } from "./softmax.ts";

/** Where one head's keys and values of one layer lie: keys [capacity, padded d_head], values [d_head, capacity]. */
interface Head {
  keys: Float32Array;
  values: Float32Array;
}

/**
 * The keys and values of one growing sequence, in a memory of their own, and attention over them. Values lie turned, so
 * that scores and their mixtures are both scalar products along rows.
 */
export class Sequence {
  readonly #config: ModelConfig;
  #length = 0;
  #capacity = 0;
  #dots!: Dots;
  /** [n_layers · n_kv_heads] */
  #heads: Head[] = [];
  /** [padded d_head], [capacity], [d_head] */
  #query!: Float32Array;
  #scores!: Float32Array;
  #mixture!: Float32Array;

  constructor(config: ModelConfig, tokens: number) {
    this.#config = config;
    this.#grow(tokens);
  }

  /** Tokens that every layer holds. */
  get length(): number {
    return this.#length;
  }

  /** Moves to a memory with room for so many tokens. */
  #grow(tokens: number): void {
    const { nLayers, nKvHeads, dHead } = this.#config;
    const width = padded(dHead);
    const capacity = padded(tokens);
    const perHead = capacity * (width + dHead);
    const { memory, dots } = dotsOn(4 * (nLayers * nKvHeads * perHead + 2 * width + capacity), false);
    let used = 0;
    const vector = (length: number): Float32Array => {
      const view = new Float32Array(memory.buffer, 4 * used, length);
      used += length;
      return view;
    };
    const heads = Array.from({ length: nLayers * nKvHeads }, (_, i) => {
      const head = { keys: vector(capacity * width), values: vector(dHead * capacity) };
      const before = this.#heads[i];
      if (before === undefined) return head;
      head.keys.set(before.keys);
      for (let d = 0; d < dHead; d++)
        head.values.set(before.values.subarray(d * this.#capacity, (d + 1) * this.#capacity), d * capacity);
      return head;
    });
    this.#capacity = capacity;
    this.#dots = dots;
    this.#heads = heads;
    this.#query = vector(width);
    this.#scores = vector(capacity);
    this.#mixture = vector(width);
  }

  /**
   * Adds the keys and values of further tokens to a layer; {@link Sequence.advance} follows when every layer has them.
   * @param keys [n_kv_heads, tokens, d_head], rotated
   * @param values the same shape
   */
  append(layer: number, keys: Float32Array, values: Float32Array): void {
    const { nKvHeads, dHead, nCtx } = this.#config;
    const tokens = keys.length / (nKvHeads * dHead);
    const needed = this.#length + tokens;
    if (needed > this.#capacity) this.#grow(Math.max(needed, Math.min(2 * this.#capacity, nCtx)));
    for (let h = 0, from = 0; h < nKvHeads; h++) {
      const head = this.#heads[layer * nKvHeads + h]!;
      for (let t = this.#length; t < needed; t++)
        for (let d = 0; d < dHead; d++, from++) {
          head.keys[t * padded(dHead) + d] = keys[from]!;
          head.values[d * this.#capacity + t] = values[from]!;
        }
    }
  }

  /** Counts tokens that every layer was given. */
  advance(tokens: number): void {
    this.#length += tokens;
  }

  /**
   * Attention of the next token, whose own keys and values are appended: ops/attention.ts for one query.
   * @param queries [n_heads, d_head], rotated
   * @param out gets z, the same shape
   */
  attend(layer: number, queries: Float32Array, out: Float32Array): void {
    const { nHeads, nKvHeads, dHead, attentionScale = dHead ** -0.5, attentionSoftcap } = this.#config;
    const [query, scores, mixture] = [this.#query, this.#scores, this.#mixture];
    const [width, stride] = [4 * padded(dHead), 4 * this.#capacity];
    const kPos = this.#length + 1;
    for (let h = 0; h < nHeads; h++) {
      const { keys, values } = this.#heads[layer * nKvHeads + Math.floor(h / (nHeads / nKvHeads))]!;
      for (let d = 0; d < dHead; d++) query[d] = queries[h * dHead + d]! * attentionScale;
      this.#dots(scores.byteOffset, query.byteOffset, keys.byteOffset, kPos, width, width);
      if (attentionSoftcap !== undefined)
        for (let t = 0; t < kPos; t++) scores[t] = Math.tanh(scores[t]! / attentionSoftcap) * attentionSoftcap;
      softmax(scores.subarray(0, kPos));
      scores.fill(0, kPos, padded(kPos));
      this.#dots(mixture.byteOffset, scores.byteOffset, values.byteOffset, dHead, 4 * padded(kPos), stride);
      for (let d = 0; d < dHead; d++) out[h * dHead + d] = mixture[d]!;
    }
  }

  /** All keys and values of a layer, each [n_kv_heads, length, d_head]. */
  read(layer: number): { keys: Float32Array; values: Float32Array } {
    const { nKvHeads, dHead } = this.#config;
    const keys = new Float32Array(nKvHeads * this.#length * dHead);
    const values = new Float32Array(keys.length);
    for (let h = 0, to = 0; h < nKvHeads; h++) {
      const head = this.#heads[layer * nKvHeads + h]!;
      for (let t = 0; t < this.#length; t++)
        for (let d = 0; d < dHead; d++, to++) {
          keys[to] = head.keys[t * padded(dHead) + d]!;
          values[to] = head.values[d * this.#capacity + t]!;
        }
    }
    return { keys, values };
  }
}
