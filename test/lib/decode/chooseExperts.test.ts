import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import type { Gating } from "../../../lib/config.ts";
import { chooseExperts } from "../../../lib/decode/chooseExperts.ts";
import { route } from "../../../lib/router.ts";
import { relativeError, seeded, TINY } from "../../helpers.ts";

const GATINGS: Gating[] = [
  { kind: "softmaxThenTopK", normalize: 1 },
  { kind: "softmaxThenTopK", normalize: 2 },
  { kind: "softmaxThenTopK", normalize: null },
  { kind: "topKThenSoftmax" },
];

/** Logits whose probabilities are 0.1, 0.4, 0.2, 0.3. */
const LOGITS = Float32Array.from([0.1, 0.4, 0.2, 0.3], Math.log);

function choose(logits: Float32Array, topK: number, gating: Gating): { experts: number[]; weights: Float32Array } {
  return chooseExperts(logits, { ...TINY.mlp, nExperts: logits.length, topK, gating });
}

test.each<[Gating, number[]]>([
  [GATINGS[0]!, [4 / 7, 3 / 7]],
  [GATINGS[1]!, [0.8, 0.6]],
  [GATINGS[2]!, [0.4, 0.3]],
  [GATINGS[3]!, [4 / 7, 3 / 7]],
])("%o weighs the two best of 0.1, 0.4, 0.2 and 0.3 as %o", (gating, expected) => {
  const { experts, weights } = choose(LOGITS, 2, gating);
  expect(experts).toEqual([1, 3]);
  expect(relativeError(weights, expected)).toBeLessThan(1e-6);
});

test("of equal experts the lower ones are chosen, in their order", () => {
  expect(choose(Float32Array.of(1, 2, 2, 1, 2), 2, GATINGS[0]!).experts).toEqual([1, 2]);
  expect(choose(new Float32Array(6), 6, GATINGS[0]!).experts).toEqual([0, 1, 2, 3, 4, 5]);
});

describe.each(GATINGS)("%o", (gating) => {
  beforeAll(async () => {
    await useBackend("cpu");
  });

  test.each([1, 3, 16])("agrees with the router of many tokens about %i of 16 experts", (topK) => {
    const random = seeded(topK);
    const same = { logits: <T>(x: T) => x, probs: <T>(x: T) => x, indices: <T>(x: T) => x, weights: <T>(x: T) => x };
    for (let trial = 0; trial < 20; trial++) {
      const logits = Float32Array.from({ length: 16 }, () => 20 * random() - 10);
      const [indices, weights] = tf.tidy(() => {
        const routing = route(tf.tensor2d(logits, [1, 16]), topK, gating, same);
        return [routing.indices, routing.weights.dataSync()] as const;
      }) as unknown as [Int32Array, Float32Array];
      const chosen = choose(logits, topK, gating);
      expect(chosen.experts).toEqual([...indices]);
      expect(relativeError(chosen.weights, weights)).toBeLessThan(1e-5);
    }
  });
});
