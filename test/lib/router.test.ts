import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../lib/backend.ts";
import type { Gating, SigmoidGating } from "../../lib/config.ts";
import { type RouterTaps, route } from "../../lib/router.ts";
import { relativeError, seeded } from "../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];
const UNWATCHED: RouterTaps = {
  logits: (value) => value,
  probs: (value) => value,
  indices: (value) => value,
  weights: (value) => value,
};
const TOP_K_OF_SOFTMAX = (normalize: number | null): Gating => ({ kind: "softmaxThenTopK", normalize });
const SOFTMAX_OF_TOP_K: Gating = { kind: "topKThenSoftmax" };

function routed(
  logits: number[][],
  topK: number,
  gating: Gating,
  taps = UNWATCHED,
  choiceBias: number[] | null = null,
): { probs: number[][]; indices: number[]; weights: number[][] } {
  return tf.tidy(() => {
    const { probs, indices, weights } = route(
      tf.tensor2d(logits),
      topK,
      gating,
      taps,
      choiceBias === null ? null : tf.tensor1d(choiceBias),
    );
    return { probs: probs.arraySync(), indices: [...indices], weights: weights.arraySync() };
  });
}

function randomLogits(rows: number, nExperts: number, seed: number): number[][] {
  const random = seeded(seed);
  return Array.from({ length: rows }, () => Array.from({ length: nExperts }, () => 6 * random() - 3));
}

// Odds 5 : 2 : 3 and 1 : 6 : 3, each of 10, are probabilities (0.5, 0.2, 0.3) and (0.1, 0.6, 0.3); the 7 cancels.
const LOGITS = [[5, 2, 3].map(Math.log), [1, 6, 3].map((odds) => Math.log(odds) + 7)];

/** The first of them, with p-norm 1, with something put in place. */
function replaced(taps: Partial<RouterTaps>): ReturnType<typeof routed> {
  return routed(LOGITS.slice(0, 1), 2, TOP_K_OF_SOFTMAX(1), { ...UNWATCHED, ...taps });
}

describe.each(BACKENDS)("route on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  test("the probabilities are those of all experts and the two likeliest are chosen, best first", () => {
    const { probs, indices } = routed(LOGITS, 2, TOP_K_OF_SOFTMAX(null));
    expect(relativeError(probs.flat(), [0.5, 0.2, 0.3, 0.1, 0.6, 0.3])).toBeLessThan(1e-6);
    expect(indices).toEqual([0, 2, 1, 2]);
  });

  describe("by sigmoids", () => {
    // Sigmoids 0.9 0.1 | 0.6 0.6 | 0.8 0.75: ln(p / (1 − p)).
    const SIGMOIDS = [[0.9, 0.1, 0.6, 0.6, 0.8, 0.75].map((p) => Math.log(p / (1 - p)))];
    const sigmoid = (fields: Partial<SigmoidGating>): Gating => ({
      kind: "sigmoid",
      nGroups: 1,
      topGroups: 1,
      normalize: false,
      scale: 1,
      ...fields,
    });

    test("the weights are the sigmoids, scaled to a sum or not", () => {
      const plain = routed(SIGMOIDS, 2, sigmoid({ scale: 2.5 }));
      expect(plain.indices).toEqual([0, 4]);
      expect(relativeError(plain.probs.flat(), [0.9, 0.1, 0.6, 0.6, 0.8, 0.75])).toBeLessThan(1e-6);
      expect(relativeError(plain.weights.flat(), [2.25, 2])).toBeLessThan(1e-6);
      const shares = routed(SIGMOIDS, 2, sigmoid({ normalize: true, scale: 1.7 }));
      expect(relativeError(shares.weights.flat(), [0.9, 0.8])).toBeLessThan(1e-6); // 1.7 · 0.9 / 1.7
    });

    test("only groups with the best two experts together take part: 1.0, 1.2 and 1.55 in threes of two", () => {
      const two = routed(SIGMOIDS, 3, sigmoid({ nGroups: 3, topGroups: 2 }));
      expect(two.indices).toEqual([4, 5, 2]); // without expert 0, the best of all
      const one = routed(SIGMOIDS, 2, sigmoid({ nGroups: 3, topGroups: 1 }));
      expect(one.indices).toEqual([4, 5]);
    });

    test("a bias changes the choice and not the weights", () => {
      // 0.9 1.0 | 0.6 0.6 | 0.8 0.15: the groups have 1.9, 1.2 and 0.95.
      const bias = [0, 0.9, 0, 0, 0, -0.6];
      const { indices, weights } = routed(SIGMOIDS, 3, sigmoid({ nGroups: 3, topGroups: 2 }), UNWATCHED, bias);
      expect(indices).toEqual([1, 0, 2]);
      expect(relativeError(weights.flat(), [0.1, 0.9, 0.6])).toBeLessThan(1e-6);
    });

    // Were experts outside the best groups 0, one of them would be chosen before a negative one inside.
    test("one of the best groups is chosen even where its bias makes it negative", () => {
      const { indices } = routed(SIGMOIDS, 2, sigmoid({ nGroups: 3, topGroups: 1 }), UNWATCHED, [0, 2, 0, 0, 0, 0]);
      expect(indices).toEqual([1, 0]);
      const low = routed(SIGMOIDS, 2, sigmoid({ nGroups: 3, topGroups: 1 }), UNWATCHED, [1, -0.5, -1, -1, -1, -1]);
      expect(low.indices).toEqual([0, 1]); // 1.9 and −0.4
    });
  });

  test.each<[string, Gating, number[]]>([
    // 0.5 + 0.3 = 0.8 and 0.6 + 0.3 = 0.9: 5/8, 3/8 and 2/3, 1/3.
    ["p-norm 1: the weights sum to 1", TOP_K_OF_SOFTMAX(1), [0.625, 0.375, 2 / 3, 1 / 3]],
    // √(0.25 + 0.09) = √0.34 = 0.583095 and √(0.36 + 0.09) = √0.45 = 0.670820.
    ["p-norm 2: their squares do", TOP_K_OF_SOFTMAX(2), [0.857493, 0.514496, 0.894427, 0.447214]],
    // ∛(0.125 + 0.027) = ∛0.152 = 0.533680 and ∛(0.216 + 0.027) = ∛0.243 = 0.624025.
    ["p-norm 3: their cubes do", TOP_K_OF_SOFTMAX(3), [0.936891, 0.562134, 0.9615, 0.48075]],
    ["no norm: the probabilities as they are", TOP_K_OF_SOFTMAX(null), [0.5, 0.3, 0.6, 0.3]],
    // softmax(ln 5, ln 3) = 5/8, 3/8 and softmax(ln 6, ln 3) = 2/3, 1/3.
    ["softmax of the chosen logits", SOFTMAX_OF_TOP_K, [0.625, 0.375, 2 / 3, 1 / 3]],
  ])("%s", (_, gating, weights) => {
    expect(relativeError(routed(LOGITS, 2, gating).weights.flat(), weights)).toBeLessThan(2e-6);
  });

  test("softmax over all, top-k and renormalising is top-k and then softmax; without renormalising it is not", () => {
    const logits = randomLogits(40, 9, 3);
    const expected = routed(logits, 3, SOFTMAX_OF_TOP_K);
    const renormalised = routed(logits, 3, TOP_K_OF_SOFTMAX(1));
    expect(renormalised.indices).toEqual(expected.indices);
    expect(relativeError(renormalised.weights.flat(), expected.weights.flat())).toBeLessThan(1e-6);
    const asTheyAre = routed(logits, 3, TOP_K_OF_SOFTMAX(null));
    for (const row of asTheyAre.weights) expect(row[0]! + row[1]! + row[2]!).toBeLessThan(0.999);
  });

  test("equal logits go to the lower expert, as a stable sort would have them", () => {
    // Whole numbers from −1 to 1: nearly every choice is among equals.
    const logits = randomLogits(50, 16, 5).map((row) => row.map((x) => Math.round(x / 3)));
    const expected = logits.flatMap((row) => [...row.keys()].sort((a, b) => row[b]! - row[a]! || a - b).slice(0, 4));
    for (const gating of [TOP_K_OF_SOFTMAX(1), SOFTMAX_OF_TOP_K])
      expect(routed(logits, 4, gating).indices).toEqual(expected);
    expect(routed([Array(64).fill(0.3)], 8, SOFTMAX_OF_TOP_K).indices).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
  });

  test("with every expert chosen the weights are the probabilities in falling order", () => {
    const { indices, weights } = routed(LOGITS, 3, TOP_K_OF_SOFTMAX(1));
    expect(indices).toEqual([0, 2, 1, 1, 2, 0]);
    expect(relativeError(weights.flat(), [0.5, 0.3, 0.2, 0.6, 0.3, 0.1])).toBeLessThan(1e-6);
  });

  test("huge logits make no weight infinite or undefined", () => {
    for (const gating of [TOP_K_OF_SOFTMAX(1), TOP_K_OF_SOFTMAX(2), TOP_K_OF_SOFTMAX(null), SOFTMAX_OF_TOP_K])
      expect(routed([[-1e30, 1e30, 0]], 2, gating).weights).toEqual([[1, 0]]);
  });

  test.each<[string, Gating]>([
    ["p-norm 1", TOP_K_OF_SOFTMAX(1)],
    ["p-norm 2", TOP_K_OF_SOFTMAX(2)],
    ["no norm", TOP_K_OF_SOFTMAX(null)],
    ["softmax of the chosen", SOFTMAX_OF_TOP_K],
  ])("the weights' gradient by the logits is what differences give: %s", (_, gating) => {
    const [row] = randomLogits(1, 5, 11) as [number[]];
    const factors = [0.7, -1.3];
    /** Σ factor · weight in double precision. */
    const mixed = (logits: number[]): number => {
      const chosen = [...row.keys()].sort((a, b) => row[b]! - row[a]!).slice(0, 2);
      const odds = chosen.map((e) => Math.exp(logits[e]!));
      const all = logits.reduce((sum, x) => sum + Math.exp(x), 0);
      const p = gating.kind === "softmaxThenTopK" ? gating.normalize : 1;
      const divisor = p === null ? all : odds.reduce((sum, x) => sum + x ** p, 0) ** (1 / p);
      return odds.reduce((sum, x, slot) => sum + (factors[slot]! * x) / divisor, 0);
    };
    const expected = row.map((_x, e) => {
      const moved = (by: number): number[] => row.map((x, i) => (i === e ? x + by : x));
      return (mixed(moved(1e-5)) - mixed(moved(-1e-5))) / 2e-5;
    });
    const gradient = tf.tidy(() =>
      tf
        .grad((x) =>
          route(x as tf.Tensor2D, 2, gating, UNWATCHED)
            .weights.mul(tf.tensor2d([factors]))
            .sum(),
        )(tf.tensor2d([row]))
        .dataSync(),
    );
    expect(relativeError(gradient, expected)).toBeLessThan(1e-5);
  });

  test("what a hook puts in the place of logits, probabilities, indices or weights is used from there on", () => {
    const turned = replaced({ logits: (x) => x.neg() }); // odds 1/5 : 1/2 : 1/3 = 6 : 15 : 10
    expect(turned.indices).toEqual([1, 2]);
    expect(relativeError(turned.weights.flat(), [0.6, 0.4])).toBeLessThan(1e-6);
    const chosen = replaced({ probs: () => tf.tensor2d([[0.1, 0.6, 0.3]]) });
    expect(chosen.indices).toEqual([1, 2]);
    expect(relativeError(chosen.weights.flat(), [2 / 3, 1 / 3])).toBeLessThan(1e-6);
    const forced = replaced({ indices: () => tf.tensor2d([[2, 1]], [1, 2], "int32") });
    expect(forced.indices).toEqual([2, 1]);
    expect(relativeError(forced.weights.flat(), [0.6, 0.4])).toBeLessThan(1e-6);
    expect(replaced({ weights: (w) => w.mul(0) }).weights).toEqual([[0, 0]]);
  });

  test.each([-1, 3])("expert %d, which does not exist, is refused", (expert) => {
    const taps = { ...UNWATCHED, indices: () => tf.tensor2d([[0, expert]], [1, 2], "int32") };
    expect(() => routed(LOGITS.slice(0, 1), 2, SOFTMAX_OF_TOP_K, taps)).toThrow(
      new RangeError(`route: an expert must be from 0 to 2, got ${expert}`),
    );
  });
});
