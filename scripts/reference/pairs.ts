/**
 * Numbers for pairs of whole numbers, from 0 in the order of their coming: an open hash table, since a Map of tens of
 * millions does not fit. A pair is given as one key, first · base + second, below 2^53.
 */
export class Pairs {
  size = 0;
  #keys = new Float64Array(1 << 16).fill(-1);
  #numbers = new Int32Array(1 << 16);

  /** The number of a pair, or -1. */
  find(key: number): number {
    const place = this.#placeOf(key);
    return this.#keys[place] === -1 ? -1 : this.#numbers[place]!;
  }

  /** The number of a pair; a new one where it was not there. */
  add(key: number): number {
    const place = this.#placeOf(key);
    if (this.#keys[place] !== -1) return this.#numbers[place]!;
    this.#keys[place] = key;
    this.#numbers[place] = this.size++;
    if (2 * this.size > this.#keys.length) this.#grow();
    return this.size - 1;
  }

  /** Calls with every key and its number. */
  each(call: (key: number, number: number) => void): void {
    for (let place = 0; place < this.#keys.length; place++)
      if (this.#keys[place] !== -1) call(this.#keys[place]!, this.#numbers[place]!);
  }

  #placeOf(key: number): number {
    const mask = this.#keys.length - 1;
    const mixed = Math.imul((key | 0) ^ Math.imul((key / 0x1_0000_0000) | 0, 0x9e3779b1), 0x85ebca6b);
    let place = (mixed ^ (mixed >>> 15)) & mask;
    while (this.#keys[place] !== -1 && this.#keys[place] !== key) place = (place + 1) & mask;
    return place;
  }

  #grow(): void {
    const [keys, numbers] = [this.#keys, this.#numbers];
    this.#keys = new Float64Array(2 * keys.length).fill(-1);
    this.#numbers = new Int32Array(2 * keys.length);
    for (let i = 0; i < keys.length; i++) {
      if (keys[i] === -1) continue;
      const place = this.#placeOf(keys[i]!);
      this.#keys[place] = keys[i]!;
      this.#numbers[place] = numbers[i]!;
    }
  }
}
