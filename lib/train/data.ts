import { ConfigError } from "../errors.ts";
import { permutation } from "../random.ts";
import type { Batch } from "./step.ts";

/**
 * The batches of a run as a function of the step alone, so that a resumed run sees exactly what an unbroken one would.
 * The text is cut into windows of pos + 1 tokens that overlap by the one that is label in one and input in the next;
 * each epoch passes over all windows once, in an order of its own.
 */
export class Batches {
  readonly nWindows: number;
  readonly #tokens: Uint16Array;
  readonly #size: { batch: number; pos: number };
  readonly #seed: number;
  #epoch: { number: number; order: Uint32Array } = { number: -1, order: new Uint32Array() };

  /** @throws ConfigError where the text is too short for one batch */
  constructor(tokens: Uint16Array, size: { batch: number; pos: number }, seed: number) {
    this.nWindows = Math.floor((tokens.length - 1) / size.pos);
    if (this.nWindows < size.batch)
      throw new ConfigError(
        `train: the text must have at least ${size.batch * size.pos + 1} tokens for one batch, got ${tokens.length}`,
      );
    this.#tokens = tokens;
    this.#size = size;
    this.#seed = seed;
  }

  /** The batch of a step; steps count from 0. */
  at(step: number): Batch {
    const { batch, pos } = this.#size;
    const ids = new Int32Array(batch * (pos + 1));
    for (let b = 0; b < batch; b++) {
      const drawn = step * batch + b;
      const order = this.#orderOf(Math.floor(drawn / this.nWindows));
      const start = order[drawn % this.nWindows]! * pos;
      ids.set(this.#tokens.subarray(start, start + pos + 1), b * (pos + 1));
    }
    return { ids, batch, pos };
  }

  #orderOf(epoch: number): Uint32Array {
    if (this.#epoch.number !== epoch)
      this.#epoch = { number: epoch, order: permutation(this.nWindows, this.#seed + epoch) };
    return this.#epoch.order;
  }
}
