import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import {
  type AttentionTaps,
  attention,
  causalBlocks,
  causalMask,
  type ScoreOptions,
} from "../../../lib/ops/attention.ts";
import { expectClose, relativeError, seeded } from "../../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];
const UNWATCHED: AttentionTaps = { scores: null, pattern: null };

function randomTensor(shape: [number, number, number, number], seed: number): tf.Tensor4D {
  const random = seeded(seed);
  const size = shape.reduce((a, b) => a * b, 1);
  return tf.tensor4d(
    Float32Array.from({ length: size }, () => 4 * random() - 2),
    shape,
  );
}

describe.each(BACKENDS)("attention on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test("two tokens and one head, by hand", () => {
    tf.tidy(() => {
      // Scale 1/2. The second query gives scores 0 and 2 · ln 3 / 2 = ln 3, hence weights 1/4 and 3/4;
      // the first may look at its own key only.
      const q = tf.tensor4d([
        [
          [
            [2, 0, 0, 0],
            [2, 0, 0, 0],
          ],
        ],
      ]);
      const keys = tf.tensor4d([
        [
          [
            [0, 1, 0, 0],
            [Math.log(3), 0, 1, 0],
          ],
        ],
      ]);
      const values = tf.tensor4d([
        [
          [
            [4, 0, 0, 1],
            [0, 8, 0, 1],
          ],
        ],
      ]);
      const seen: number[][] = [];
      const keep = (value: tf.Tensor4D): tf.Tensor4D => {
        seen.push([...value.dataSync()]);
        return value;
      };
      const scoring = { scale: 0.5, softcap: null, mask: causalMask(2, 0) };
      const z = attention(q, { keys, values }, scoring, { scores: keep, pattern: keep });
      expect(relativeError(z.dataSync(), [4, 0, 0, 1, 1, 6, 0, 1])).toBeLessThan(1e-6);
      expect(relativeError(seen[0]!, [0, -Infinity, 0, Math.log(3)])).toBeLessThan(1e-6);
      expect(relativeError(seen[1]!, [1, 0, 0.25, 0.75])).toBeLessThan(1e-6);
    });
  });

  test("a sink takes its share of the softmax and gives no value", () => {
    tf.tidy(() => {
      // Of head 0, scores 0 and ln 3 beside a sink of ln 4: shares 1/8, 3/8 and the sink's 4/8. Of head 1, a sink of ln 12:
      // 1/16, 3/16 and 12/16.
      const q = tf.tensor4d([[[[1]], [[1]]]]); // two heads, one query
      const keys = tf.tensor4d([[[[0], [Math.log(3)]]]]);
      const values = tf.tensor4d([[[[8], [16]]]]);
      const sinks = tf.tensor1d([Math.log(4), Math.log(12)]);
      const seen: number[] = [];
      const pattern = (value: tf.Tensor4D): tf.Tensor4D => {
        seen.push(...value.dataSync());
        return value;
      };
      const scoring = { scale: 1, softcap: null, mask: null, sinks };
      const z = attention(q, { keys, values }, scoring, { ...UNWATCHED, pattern });
      expect(relativeError(seen, [1 / 8, 3 / 8, 1 / 16, 3 / 16])).toBeLessThan(1e-6);
      expect(relativeError(z.dataSync(), [7, 3.5])).toBeLessThan(1e-6);
    });
  });

  test("a window hides all but the last keys, also from one query after many", () => {
    const rows = (mask: tf.Tensor2D | null): number[][] => mask!.arraySync();
    tf.tidy(() => {
      const [seen, hidden] = [0, -Infinity];
      expect(rows(causalMask(3, 2, 2))).toEqual([
        [hidden, seen, seen, hidden, hidden],
        [hidden, hidden, seen, seen, hidden],
        [hidden, hidden, hidden, seen, seen],
      ]);
      expect(rows(causalMask(1, 3, 2))).toEqual([[hidden, hidden, seen, seen]]);
      expect(causalMask(1, 3, 4)).toBeNull();
      expect(rows(causalMask(3, 0, 3))).toEqual(rows(causalMask(3, 0)));
    });
  });

  test("values may be of another width than keys", () => {
    tf.tidy(() => {
      const [q, keys, wide] = [
        [1, 3, 4, 2],
        [1, 3, 4, 2],
        [1, 3, 4, 5],
      ].map((shape, i) => randomTensor(shape as [number, number, number, number], i + 1)) as [
        tf.Tensor4D,
        tf.Tensor4D,
        tf.Tensor4D,
      ];
      const scoring = { scale: 1, softcap: null, mask: causalMask(4, 0) };
      const z = attention(q, { keys, values: wide }, scoring, UNWATCHED);
      expect(z.shape).toEqual([1, 4, 3, 5]);
      const narrow = wide.slice<tf.Tensor4D>([0, 0, 0, 3], [1, 3, 4, 2]);
      expectClose(z.slice([0, 0, 0, 3], [1, 4, 3, 2]), attention(q, { keys, values: narrow }, scoring, UNWATCHED));
    });
  });

  test("a soft cap bends scores before the mask: 2 · tanh(score / 2)", () => {
    tf.tidy(() => {
      // Scores 6 and 1: 2 · tanh 3 = 1.990110 and 2 · tanh 0.5 = 0.924234.
      const q = tf.tensor4d([[[[1], [1]]]]);
      const keys = tf.tensor4d([[[[6], [1]]]]);
      const seen: number[] = [];
      const scores = (value: tf.Tensor4D): tf.Tensor4D => {
        seen.push(...value.dataSync());
        return value;
      };
      const scoring = { scale: 1, softcap: 2, mask: causalMask(2, 0) };
      attention(q, { keys, values: keys }, scoring, { ...UNWATCHED, scores });
      expect(relativeError(seen, [1.99011, -Infinity, 1.99011, 0.924234])).toBeLessThan(1e-6);
    });
  });

  test.each([
    [6, 3],
    [6, 1],
    [4, 4],
  ])("%d query heads on %d key-value heads are those heads repeated", (nHeads, nKvHeads) => {
    tf.tidy(() => {
      const [batch, pos, dHead, group] = [2, 5, 4, nHeads / nKvHeads];
      const q = randomTensor([batch, nHeads, pos, dHead], 1);
      const keys = randomTensor([batch, nKvHeads, pos, dHead], 2);
      const values = randomTensor([batch, nKvHeads, pos, dHead], 3);
      const scoring = { scale: 0.3, softcap: null, mask: causalMask(pos, 0) };
      const whichKv = Array.from({ length: nHeads }, (_, h) => Math.floor(h / group));
      const repeated = { keys: tf.gather(keys, whichKv, 1), values: tf.gather(values, whichKv, 1) };
      const expected = attention(q, repeated, scoring, UNWATCHED);
      expectClose(attention(q, { keys, values }, scoring, UNWATCHED), expected, 1e-6);
    });
  });

  test("queries that follow a past attend as in the full pass", () => {
    tf.tidy(() => {
      const [q, keys, values] = [1, 2, 3].map((seed) => randomTensor([2, 2, 6, 4], seed)) as [
        tf.Tensor4D,
        tf.Tensor4D,
        tf.Tensor4D,
      ];
      const heads = { keys, values };
      const scoring = { scale: 0.5, softcap: null };
      const full = attention(q, heads, { ...scoring, mask: causalMask(6, 0) }, UNWATCHED);
      for (const past of [1, 4, 5]) {
        const rest = q.slice<tf.Tensor4D>([0, 0, past, 0], [-1, -1, 6 - past, -1]);
        const z = attention(rest, heads, { ...scoring, mask: causalMask(6 - past, past) }, UNWATCHED);
        expectClose(z, full.slice([0, past, 0, 0], [-1, 6 - past, -1, -1]), 1e-6);
      }
    });
  });

  describe("a causal run of 300 tokens, which is cut into blocks of queries", () => {
    const [batch, pos, nHeads, nKvHeads, dHead] = [2, 300, 4, 2, 4];
    const inputs = () => {
      const scoring = { scale: 0.7, softcap: null, mask: causalMask(pos, 0) };
      return {
        scoring,
        blocked: { ...scoring, mask: causalBlocks(pos, 0, nHeads / nKvHeads) },
        q: randomTensor([batch, nHeads, pos, dHead], 4),
        keys: randomTensor([batch, nKvHeads, pos, dHead], 5),
        values: randomTensor([batch, nKvHeads, pos, 3], 6),
      };
    };

    test("gives what it gives whole, with a window and after a past too, and so do its gradients", () => {
      tf.tidy(() => {
        const { scoring, blocked, q, keys, values } = inputs();
        expectClose(
          attention(q, { keys, values }, blocked, UNWATCHED),
          attention(q, { keys, values }, scoring, UNWATCHED),
          1e-5,
        );
        const windowed = { ...scoring, mask: causalMask(pos, 0, 40) };
        expectClose(
          attention(q, { keys, values }, { ...scoring, mask: causalBlocks(pos, 0, 2, 40) }, UNWATCHED),
          attention(q, { keys, values }, windowed, UNWATCHED),
          1e-5,
        );
        const rest = q.slice<tf.Tensor4D>([0, 0, 20, 0], [-1, -1, 280, -1]);
        const late = { ...scoring, mask: causalMask(280, 20) };
        expectClose(
          attention(rest, { keys, values }, { ...scoring, mask: causalBlocks(280, 20, 2) }, UNWATCHED),
          attention(rest, { keys, values }, late, UNWATCHED),
          1e-5,
        );
        const gradients = (options: ScoreOptions): tf.Tensor[] =>
          tf.grads((a, b, c) =>
            attention(a as tf.Tensor4D, { keys: b as tf.Tensor4D, values: c as tf.Tensor4D }, options, UNWATCHED)
              .square()
              .sum(),
          )([q, keys, values]);
        for (const [i, gradient] of gradients(blocked).entries()) expectClose(gradient, gradients(scoring)[i]!, 1e-5);
      });
    });

    test("of more than 2,048 tokens too, whose masks are kept for one head", () => {
      tf.tidy(() => {
        const long = 2060;
        const q = randomTensor([1, 2, long, 2], 7);
        const keys = randomTensor([1, 1, long, 2], 8);
        const values = randomTensor([1, 1, long, 1], 9);
        const scoring = { scale: 0.7, softcap: null, mask: causalMask(long, 0) };
        const blocks = causalBlocks(long, 0, 2);
        expect(blocks.at(-1)!.mask!.shape).toEqual([long % 128, long]);
        expectClose(
          attention(q, { keys, values }, { ...scoring, mask: blocks }, UNWATCHED),
          attention(q, { keys, values }, scoring, UNWATCHED),
          1e-5,
        );
      });
    });

    test("is seen whole, and watching changes no bit", () => {
      tf.tidy(() => {
        const { scoring, blocked, q, keys, values } = inputs();
        const watch = (options: ScoreOptions) => {
          const seen: Float32Array[] = [];
          const keep = (value: tf.Tensor4D): tf.Tensor4D => {
            expect(value.shape).toEqual([batch, nHeads, pos, pos]);
            seen.push(value.dataSync<"float32">());
            return value;
          };
          const z = attention(q, { keys, values }, options, { scores: keep, pattern: keep });
          return { z: z.dataSync(), scores: seen[0]!, pattern: seen[1]! };
        };
        const parts = watch(blocked);
        const whole = watch(scoring);
        expect(parts.z).toEqual(attention(q, { keys, values }, blocked, UNWATCHED).dataSync());
        expect(parts.scores.map((x) => Number(x === -Infinity))).toEqual(
          whole.scores.map((x) => Number(x === -Infinity)),
        );
        const finite = (scores: Float32Array): Float32Array => scores.filter((x) => x !== -Infinity);
        expect(relativeError(finite(parts.scores), finite(whole.scores))).toBeLessThan(1e-5);
        expect(relativeError(parts.pattern, whole.pattern)).toBeLessThan(1e-5);
      });
    });

    test("may look ahead where a hook says so", () => {
      tf.tidy(() => {
        const { blocked, q, keys, values } = inputs();
        const even = (): tf.Tensor4D => tf.zeros([batch, nHeads, pos, pos]);
        const z = attention(q, { keys, values }, blocked, { ...UNWATCHED, scores: even });
        const means = values.mean(2); // [batch, n_kv_heads, d_value]
        expectClose(z.slice([1, 0, 3, 0], [1, 1, 1, -1]).flatten(), means.slice([1, 1, 0], [1, 1, -1]).flatten(), 1e-5);
        const last = (): tf.Tensor4D =>
          tf
            .oneHot(
              tf
                .zeros([batch, nHeads, pos])
                .add(pos - 1)
                .toInt(),
              pos,
            )
            .toFloat() as tf.Tensor4D;
        const chosen = attention(q, { keys, values }, blocked, { ...UNWATCHED, pattern: last });
        expectClose(
          chosen.slice([0, 0, 0, 0], [1, 1, 1, -1]).flatten(),
          values.slice([0, 0, pos - 1, 0], [1, 1, 1, -1]).flatten(),
          1e-6,
        );
      });
    });
  });

  test("what a hook puts in the place of scores and pattern is used", () => {
    tf.tidy(() => {
      const keys = tf.tensor4d([[[[1], [1]]]]);
      const values = tf.tensor4d([[[[10], [20]]]]);
      const scoring = { scale: 1, softcap: null, mask: causalMask(2, 0) };
      const q = tf.tensor4d([[[[1], [1]]]]);
      const odds = tf.tensor4d([0, 0, Math.log(4), 0], [1, 1, 2, 2]);
      const scored = attention(q, { keys, values }, scoring, { ...UNWATCHED, scores: () => odds });
      expect(relativeError(scored.dataSync(), [15, 12])).toBeLessThan(1e-6);
      const weights = tf.tensor4d([0, 1, 0, 2], [1, 1, 2, 2]);
      const second = attention(q, { keys, values }, scoring, { ...UNWATCHED, pattern: () => weights });
      expect([...second.dataSync()]).toEqual([20, 40]);
    });
  });
});

describe("causalMask", () => {
  const O = -Infinity;

  test("a query may look at itself and what is before it", () => {
    expect(causalMask(3, 0)?.arraySync()).toEqual([
      [0, O, O],
      [0, 0, O],
      [0, 0, 0],
    ]);
  });

  test("a past may always be looked at", () => {
    expect(causalMask(2, 3)?.arraySync()).toEqual([
      [0, 0, 0, 0, O],
      [0, 0, 0, 0, 0],
    ]);
  });

  test("one query needs no mask", () => {
    expect(causalMask(1, 0)).toBeNull();
    expect(causalMask(1, 7)).toBeNull();
  });
});
