import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { type BackendName, useBackend } from "../../../lib/backend.ts";
import {
  crossEntropy,
  type LayerRouting,
  loadBalancingLossHuggingFace,
  loadBalancingLossMegaBlocks,
  routerZLoss,
} from "../../../lib/train/losses.ts";
import { relativeError } from "../../helpers.ts";

const BACKENDS: BackendName[] = ["tensorflow", "wasm"];

/** A layer whose router gives each row these odds. */
function layerOf(odds: number[][], counts: number[]): LayerRouting {
  return { logits: tf.tensor2d(odds.map((row) => row.map(Math.log))), counts };
}

function value(make: () => tf.Scalar): number {
  return tf.tidy(() => make().dataSync()[0]!);
}

describe.each(BACKENDS)("losses on %s", (backend) => {
  beforeAll(async () => {
    await useBackend(backend);
  });

  describe("crossEntropy", () => {
    // Odds 1 : 3 and 2 : 2, labels 1 and 0: probabilities 3/4 and 1/2, whatever is added to a row.
    const logits = [
      [Math.log(1) + 5, Math.log(3) + 5],
      [Math.log(2), Math.log(2)],
    ];
    const labels = Int32Array.of(1, 0);

    test("is the mean of −ln of the labels' probabilities", () => {
      const expected = -(Math.log(0.75) + Math.log(0.5)) / 2;
      expect(value(() => crossEntropy(tf.tensor2d(logits), labels))).toBeCloseTo(expected, 6);
    });

    test("has the gradient (softmax − one-hot) / rows, times what comes from above", () => {
      const gradient = tf.tidy(() =>
        tf
          .grad((x) => crossEntropy(x as tf.Tensor2D, labels).mul(10))(tf.tensor2d(logits))
          .dataSync(),
      );
      expect(relativeError(gradient, [1.25, -1.25, -2.5, 2.5])).toBeLessThan(1e-6);
    });

    test("of an impossible label is large and not infinite, and its gradient still pulls towards it", () => {
      const impossible = [[1000, 0]];
      const loss = value(() => crossEntropy(tf.tensor2d(impossible), Int32Array.of(1)));
      expect(loss).toBeCloseTo(126 * Math.LN2, 3);
      const gradient = tf.tidy(() =>
        tf
          .grad((x) => crossEntropy(x as tf.Tensor2D, Int32Array.of(1)))(tf.tensor2d(impossible))
          .dataSync(),
      );
      expect([...gradient]).toEqual([1, -1]);
    });
  });

  describe("load-balancing losses", () => {
    // One layer, two rows, three experts, top-2: mean probabilities (0.35, 0.35, 0.3), assignments (1, 2, 1).
    const ODDS = [
      [5, 2, 3],
      [2, 5, 3],
    ];
    const COUNTS = [1, 2, 1];

    test("by hand: MegaBlocks' form, E / (L·T·k) · Σ n · p", () => {
      // 3 / (1 · 2 · 2) · (1 · 0.35 + 2 · 0.35 + 1 · 0.3) = 0.75 · 1.35
      expect(value(() => loadBalancingLossMegaBlocks([layerOf(ODDS, COUNTS)], 2))).toBeCloseTo(1.0125, 6);
    });

    test("by hand: Hugging Face's form, E · Σ f · P with f the assignments per row", () => {
      // 3 · (1/2 · 0.35 + 2/2 · 0.35 + 1/2 · 0.3) = 3 · 0.675
      expect(value(() => loadBalancingLossHuggingFace([layerOf(ODDS, COUNTS)]))).toBeCloseTo(2.025, 6);
    });

    test("of one layer differ by the factor top_k; perfect balance gives 1, and k", () => {
      const even = [layerOf([Array(4).fill(1), Array(4).fill(1)], [1, 1, 1, 1])];
      expect(value(() => loadBalancingLossMegaBlocks(even, 2))).toBeCloseTo(1, 6);
      expect(value(() => loadBalancingLossHuggingFace(even))).toBeCloseTo(2, 6);
    });

    test("of layers that lean to opposite sides: they cancel in Hugging Face's form and not in MegaBlocks'", () => {
      // Top-1 of two experts; each layer sends both rows to one expert, with probability 0.9.
      const layers = [
        layerOf(
          [
            [9, 1],
            [9, 1],
          ],
          [2, 0],
        ),
        layerOf(
          [
            [1, 9],
            [1, 9],
          ],
          [0, 2],
        ),
      ];
      // Each layer: 2 · (1 · 0.9 + 0 · 0.1) = 1.8; pooled all is even.
      expect(value(() => loadBalancingLossMegaBlocks(layers, 1))).toBeCloseTo(1.8, 6);
      expect(value(() => loadBalancingLossHuggingFace(layers))).toBeCloseTo(1, 6);
    });

    test.each<[string, (layers: LayerRouting[]) => tf.Scalar]>([
      ["MegaBlocks'", (layers) => loadBalancingLossMegaBlocks(layers, 2)],
      ["Hugging Face's", loadBalancingLossHuggingFace],
    ])(
      "take the assignments for constants: descending %s gradient lowers the crowded expert's probability",
      (_, loss) => {
        tf.tidy(() => {
          const gradient = tf.grad((x) => loss([{ logits: x as tf.Tensor2D, counts: COUNTS }]))(
            tf.tensor2d(ODDS.map((row) => row.map(Math.log))),
          );
          const [first, second, third] = gradient.sum(0).dataSync();
          expect(second).toBeGreaterThan(0);
          expect(first! + third!).toBeCloseTo(-second!, 6);
        });
      },
    );
  });

  test("routerZLoss is the mean over rows and layers of the squared log-sum-exp", () => {
    // Sums of odds 10 and 20, then 1 and 1: (ln² 10 + ln² 20 + 0 + 0) / 4.
    const layers = [
      layerOf(
        [
          [5, 5],
          [12, 8],
        ],
        [1, 1],
      ),
      layerOf(
        [
          [0.5, 0.5],
          [0.25, 0.75],
        ],
        [1, 1],
      ),
    ];
    const expected = (Math.log(10) ** 2 + Math.log(20) ** 2) / 4;
    expect(value(() => routerZLoss(layers))).toBeCloseTo(expected, 5);
  });
});
