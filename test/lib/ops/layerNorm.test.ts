import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import { layerNorm } from "../../../lib/ops/layerNorm.ts";
import { rmsNorm } from "../../../lib/ops/rmsNorm.ts";
import { relativeError, seeded } from "../../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];
type Norm = typeof layerNorm;
const NORMS: Record<string, Norm> = { layerNorm, rmsNorm };

function mean(values: number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

/** The slope at 0, from a step to either side. */
function slope(f: (by: number) => number): number {
  return (f(1e-5) - f(-1e-5)) / 2e-5;
}

function moved(values: number[], at: number, by: number): number[] {
  return values.map((value, i) => (i === at ? value + by : value));
}

/** One row in double precision. */
function plainNorm(name: string, row: number[], gain: number[], eps: number): number[] {
  const centre = name === "layerNorm" ? mean(row) : 0;
  const scale = Math.sqrt(mean(row.map((x) => (x - centre) ** 2)) + eps);
  return row.map((x, i) => ((x - centre) / scale) * gain[i]!);
}

describe.each(BACKENDS)("norms on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test("layerNorm of two rows, by hand", () => {
    // Both rows have variance (9 + 1 + 9 + 1) / 4 = 5, so with eps 4 the scale is 3; the second row's mean is 10.
    const x = tf.tensor2d([
      [-3, 1, 3, -1],
      [7, 11, 13, 9],
    ]);
    const gain = tf.tensor1d([1, 2, 3, 6]);
    for (const tapScale of [null, (scale: tf.Tensor2D) => scale]) {
      const y = layerNorm(x, gain, 4, tapScale);
      expect(relativeError(y.dataSync(), [-1, 2 / 3, 3, -2, -1, 2 / 3, 3, -2])).toBeLessThan(1e-6);
      y.dispose();
    }
    tf.dispose([x, gain]);
  });

  test("rmsNorm of one row, by hand", () => {
    // The mean square is (9 + 1 + 9 + 1) / 4 = 5, with eps 4 the scale is 3.
    tf.tidy(() => {
      const y = rmsNorm(tf.tensor2d([[-3, 1, 3, -1]]), tf.tensor1d([1, 2, 3, 6]), 4, null);
      expect(relativeError(y.dataSync(), [-1, 2 / 3, 3, -2])).toBeLessThan(1e-6);
    });
  });

  test.each(Object.keys(NORMS))("%s shows its scale, and divides by what is put in its place", (name) => {
    tf.tidy(() => {
      const seen: number[][] = [];
      const x = tf.tensor2d([[-3, 1, 3, -1]]);
      const y = NORMS[name]!(x, tf.tensor1d([1, 1, 1, 1]), 4, (scale) => {
        seen.push([...scale.shape, scale.dataSync()[0]!]);
        return tf.tensor2d([[2]]);
      });
      expect(seen).toEqual([[1, 1, 3]]);
      expect([...y.dataSync()]).toEqual([-1.5, 0.5, 1.5, -0.5]);
    });
  });

  test.each(Object.keys(NORMS))("%s of a constant row stays a number", (name) => {
    tf.tidy(() => {
      const y = NORMS[name]!(tf.zeros([1, 3]), tf.ones([3]), 1e-5, null);
      expect([...y.dataSync()]).toEqual([0, 0, 0]);
    });
  });

  test.each(
    Object.keys(NORMS).flatMap(
      (name) =>
        [
          [name, false],
          [name, true],
        ] as [string, boolean][],
    ),
  )("the gradient of %s is what differences give (watched: %s)", (name, watched) => {
    const random = seeded(6);
    const draw = (n: number): number[] => Array.from({ length: n }, () => 3 * random() - 1);
    const [rows, gain, factors] = [[draw(5), draw(5)], draw(5), [draw(5), draw(5)]];
    const eps = 0.1;
    const loss = (x: number[][], g: number[]): number =>
      x.reduce((sum, row, r) => sum + plainNorm(name, row, g, eps).reduce((s, y, i) => s + y * factors[r]![i]!, 0), 0);
    const byX = rows.flatMap((row, r) =>
      row.map((_, i) =>
        slope((by) =>
          loss(
            rows.map((other, s) => (s === r ? moved(other, i, by) : other)),
            gain,
          ),
        ),
      ),
    );
    const byGain = gain.map((_, i) => slope((by) => loss(rows, moved(gain, i, by))));
    tf.tidy(() => {
      const [dx, dGain] = tf.grads((x, g) =>
        NORMS[name]!(x as tf.Tensor2D, g as tf.Tensor1D, eps, watched ? (scale) => scale : null)
          .mul(tf.tensor2d(factors))
          .sum(),
      )([tf.tensor2d(rows), tf.tensor1d(gain)]);
      expect(relativeError(dx!.dataSync(), byX)).toBeLessThan(1e-5);
      expect(relativeError(dGain!.dataSync(), byGain)).toBeLessThan(1e-5);
    });
  });
});
