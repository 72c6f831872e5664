import * as tf from "@tensorflow/tfjs";
import type { HookName, Hooks } from "../hooks.ts";

/**
 * Puts an activation of another run in the place of this run's.
 * @param source the other run's, of the hook's shape
 * @param positions only at these token positions; absent: everywhere. The hook's second axis must then be `pos`
 * @throws RangeError at the run for a position that is not there; ShapeError at the run where the two shapes differ
 * @example model.runWithHooks(ids, patchActivation(name, cache.get(name), [3]))
 * @see Meng et al. 2022, arXiv:2202.05262, section 2.1
 */
export function patchActivation(name: HookName, source: tf.Tensor, positions?: readonly number[]): Hooks {
  return {
    [name]: (value: tf.Tensor): tf.Tensor => {
      if (positions === undefined || value.shape.join() !== source.shape.join()) return source.clone();
      const pos = value.shape[1]!;
      const mask = new Uint8Array(pos);
      for (const p of positions) {
        if (!Number.isInteger(p) || p < 0 || p >= pos)
          throw new RangeError(`patchActivation: a position must be from 0 to ${pos - 1}, got ${p}`);
        mask[p] = 1;
      }
      const along = value.shape.map((size, axis) => (axis === 1 ? size : 1));
      return tf.where(tf.tensor(mask, along, "bool"), source, value);
    },
  };
}
