import * as tf from "@tensorflow/tfjs";
import { listed } from "./errors.ts";
import type { HookContext, HookFn, HookName } from "./hooks.ts";

/**
 * The activations that one run kept, by hook name. It owns them: call {@link ActivationCache.dispose} when done.
 * A tensor returned by `get` lives as long as the cache.
 */
export class ActivationCache<Name extends string = HookName> {
  readonly #values = new Map<Name, tf.Tensor>();

  /** A hook that keeps what it sees, of each name the last; for runs that have no cache of their own, as `generate`'s. */
  readonly keep: HookFn<Name> = (value: tf.Tensor, { name }: HookContext<Name>): void =>
    this.adopt(name, value.clone());

  /** Takes over an activation, of each name the last; its tensor must be nobody else's. */
  adopt(name: Name, value: tf.Tensor): void {
    this.#values.get(name)?.dispose();
    this.#values.set(name, tf.keep(value));
  }

  /** Names that were kept, in the order in which they were computed. */
  get names(): Name[] {
    return [...this.#values.keys()];
  }

  has(name: Name): boolean {
    return this.#values.has(name);
  }

  /**
   * The activation of a hook, in the hook's declared shape.
   * @throws RangeError for a name that was not kept
   */
  get(name: Name): tf.Tensor {
    const value = this.#values.get(name);
    if (value === undefined)
      throw new RangeError(`cache: ${JSON.stringify(name)} was not kept; kept are ${listed(this.names) || "none"}`);
    return value;
  }

  /** Bytes that the kept activations hold. */
  get bytes(): number {
    return [...this.#values.values()].reduce((sum, value) => sum + value.size * 4, 0);
  }

  /** Lets go of every activation. */
  dispose(): void {
    tf.dispose([...this.#values.values()]);
    this.#values.clear();
  }
}
