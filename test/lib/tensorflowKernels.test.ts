import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../lib/backend.ts";

/** Numbers of the package's plain JavaScript backend beside those of the kernels. */
async function onBoth(f: () => tf.Tensor): Promise<{ ours: tf.Tensor; plain: tf.Tensor }> {
  const here = tf.tidy(f);
  await useBackend("cpu");
  const there = tf.tidy(f);
  const plain = { values: there.dataSync(), shape: there.shape, dtype: there.dtype };
  there.dispose();
  await useBackend("tensorflow");
  return { ours: here, plain: tf.tensor(plain.values, plain.shape, plain.dtype) };
}

describe("kernels of the tensorflow backend", () => {
  beforeAll(async () => {
    await useBackend("tensorflow");
  });

  test("a reshape to the same shape, and a cast to the same type, share their numbers and outlive what they came from", () => {
    const before = tf.memory().numTensors;
    for (const again of [(x: tf.Tensor) => x.reshape([2, 2]), (x: tf.Tensor) => x.cast("float32")]) {
      const x = tf.tidy(() => tf.tensor2d([1, 2, 3, 4], [2, 2]).add(1));
      const same = again(x);
      x.dispose();
      expect([...same.dataSync()]).toEqual([2, 3, 4, 5]);
      const product = same.mul(2);
      expect([...product.dataSync()]).toEqual([4, 6, 8, 10]);
      tf.dispose([same, product]);
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  test("a cast to another type changes it, and a mean of whole numbers has a fraction", () => {
    tf.tidy(() => {
      const whole = tf.tensor1d([1, 2], "int32");
      expect(whole.cast("float32").dtype).toBe("float32");
      expect([...tf.tensor1d([1.7, -1.7]).cast("int32").dataSync()]).toEqual([1, -1]);
      expect(whole.mean().dataSync()[0]).toBe(1.5);
    });
  });

  test.each<[string, () => tf.Tensor]>([
    ["reshape", () => tf.range(0, 24).reshape([2, 3, 4]).reshape([4, 6]).square()],
    ["reshape of whole numbers, with an axis left open", () => tf.range(0, 24, 1, "int32").reshape([2, -1])],
    ["transpose", () => tf.range(0, 24).reshape([2, 3, 4]).transpose([2, 0, 1])],
    ["transpose of whole numbers", () => tf.range(0, 6, 1, "int32").reshape([2, 3]).transpose()],
    ["slice", () => tf.range(0, 24).reshape([2, 3, 4]).slice([1, 0, 1], [-1, 2, 2])],
    ["slice of no rows", () => tf.range(0, 6).reshape([2, 3]).slice([0, 0], [0, -1])],
    ["gather along the first axis", () => tf.gather(tf.range(0, 6).reshape([3, 2]), tf.tensor1d([2, 0, 2], "int32"))],
    [
      "gather along the last axis",
      () =>
        tf.gather(
          tf.range(0, 6).reshape([3, 2]),
          tf.tensor2d(
            [
              [1, 1],
              [0, 1],
            ],
            [2, 2],
            "int32",
          ),
          1,
        ),
    ],
    ["clip", () => tf.tensor1d([-3, -0.5, 0.5, 3, Number.POSITIVE_INFINITY, Number.NaN]).clipByValue(-1, 1)],
    ["clip of whole numbers", () => tf.tensor1d([-3, 0, 3], "int32").clipByValue(-1, 1)],
  ])("%s gives what plain JavaScript gives", async (_name, f) => {
    const { ours, plain } = await onBoth(f);
    expect({ shape: ours.shape, dtype: ours.dtype }).toEqual({ shape: plain.shape, dtype: plain.dtype });
    expect([...ours.dataSync()]).toEqual([...plain.dataSync()]);
    tf.dispose([ours, plain]);
  });

  test("an index outside of what is picked from is an error that names it", () => {
    tf.tidy(() => {
      const three = tf.tensor1d([1, 2, 3]);
      expect(() => tf.gather(three, tf.tensor1d([0, 7], "int32"))).toThrow(/7 is not in \[0, 3\)/);
      expect(() => tf.gather(three, tf.tensor1d([-1], "int32"))).toThrow(/-1 is not in \[0, 3\)/);
    });
  });

  test("softmax by hand; what is masked gets 0, and large numbers do not overflow", () => {
    tf.tidy(() => {
      const rows = tf.softmax(
        tf.tensor2d([
          [0, Math.log(3), Number.NEGATIVE_INFINITY],
          [1000, 1000, -1000],
        ]),
      );
      for (const [i, want] of [0.25, 0.75, 0, 0.5, 0.5, 0].entries()) expect(rows.dataSync()[i]!).toBeCloseTo(want, 6);
      expect(tf.softmax(tf.zeros([0, 3])).shape).toEqual([0, 3]);
    });
  });

  test("shapes beyond the most that are kept are as right as the first, and no more are kept than that", () => {
    const { tensorMap } = tf.backend() as unknown as { tensorMap: { numDataIds(): number } };
    const before = tensorMap.numDataIds();
    const x = tf.range(0, 12);
    for (let n = 1; n <= 5000; n++)
      tf.tidy(() => {
        const one = x.slice([n % 12], [1]).reshape(Array(1 + (n % 4)).fill(1));
        expect(one.dataSync()[0]).toBe(n % 12);
      });
    const wide = tf.range(0, 5000);
    for (let n = 0; n < 5000; n++) {
      const last = wide.slice([n], [5000 - n]); // two places that no other slice has
      expect(last.shape).toEqual([5000 - n]);
      last.dispose();
    }
    expect([...x.reshape([3, 4]).transpose([1, 0]).dataSync()]).toEqual([0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11]);
    expect(tensorMap.numDataIds() - before).toBeLessThan(4200);
    tf.dispose([x, wide]);
  });
});
