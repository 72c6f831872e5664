import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { ablateEachExpert } from "../../../lib/analysis/ablateEachExpert.ts";
import { expertMeans } from "../../../lib/analysis/expertMeans.ts";
import { lossOf } from "../../../lib/analysis/lossOf.ts";
import { useBackend } from "../../../lib/backend.ts";
import { loadModel } from "../../../lib/checkpoint/folder.ts";
import { ABLATIONS, type Ablation, ablateExperts } from "../../../lib/interventions/ablateExperts.ts";
import { lossDifference } from "../../../lib/metrics/lossDifference.ts";
import type { MoeModel } from "../../../lib/model.ts";
import { expertAblation } from "../../../viz/expertAblation.ts";
import { relativeError } from "../../helpers.ts";

interface Golden extends Record<Exclude<Ablation, "renormalize"> | "base", number[][]> {
  documents: number[][];
  layer: number;
  expert: number;
  mean_output: number[];
  tokens: number;
}

const GOLDEN = join(import.meta.dirname, "../../golden");
const { losses: golden } = JSON.parse(readFileSync(join(GOLDEN, "analysis/analysis.json"), "utf8")) as {
  losses: Golden;
};
const { documents, layer, expert } = golden;

let model: MoeModel;
beforeAll(async () => {
  await useBackend();
  model = await loadModel(join(GOLDEN, "dbrx/p1"));
  return () => model.dispose();
});

describe("lossOf", () => {
  test.each([{}, { batch: 1 }, { batch: 2 }])(
    "is transformers' loss of each token, read in batches (%o)",
    (reading) => {
      const found = lossOf(model, documents, reading);
      expect([...found.offsets]).toEqual([0, 10, 16, 19]);
      expect(relativeError(found.perToken, golden.base.flat())).toBeLessThan(1e-4);
      expect(found.mean).toBeCloseTo(golden.base.flat().reduce((a, b) => a + b) / 19, 5);
    },
  );

  test("cuts a long document into windows that begin with the last token of the one before", () => {
    const document = documents[0]!;
    const cut = lossOf(model, [document], { pos: 5 });
    const pieces = [document.slice(0, 5), document.slice(4, 9), document.slice(8)].map(
      (piece) => lossOf(model, [piece]).perToken,
    );
    expect(
      relativeError(
        cut.perToken,
        pieces.flatMap((piece) => [...piece]),
      ),
    ).toBeLessThan(1e-5);
    expect(cut.perToken.length).toBe(10);
  });

  test("refuses what it cannot read", () => {
    expect(() => lossOf(model, [])).toThrow("lossOf: there must be at least one document, got none");
    expect(() => lossOf(model, [[1, 2], [3]])).toThrow(
      "lossOf: a document must have at least two tokens, got 1 in number 1",
    );
    expect(() => lossOf(model, documents, { pos: 1 })).toThrow("pos must be a whole number from 2 to 32 (the context)");
    expect(() => lossOf(model, documents, { batch: 0.5 })).toThrow("batch must be a whole number of at least 1");
  });
});

test("the mean output of an expert is transformers' own", () => {
  const { values, nExperts } = expertMeans(model, documents)[layer]!;
  const width = values.length / nExperts;
  expect(relativeError(values.subarray(expert * width, (expert + 1) * width), golden.mean_output)).toBeLessThan(1e-4);
});

describe("taking one expert out", () => {
  test.each(["zero", "mean", "reroute"] as const)("%s gives transformers' losses without it", (how) => {
    const hooks = ablateExperts(layer, [expert], how, expertMeans(model, documents)[layer]);
    expect(relativeError(lossOf(model, documents, { hooks }).perToken, golden[how].flat())).toBeLessThan(1e-4);
  });

  test("of every layer, one at a time, is what whole runs with the hooks of each give", async () => {
    const progress: number[] = [];
    const found = await ablateEachExpert(model, documents, {
      kinds: ABLATIONS,
      draws: 50,
      batch: 2,
      onProgress: (done, total) => progress.push(done / total),
    });
    const means = expertMeans(model, documents);
    const base = lossOf(model, documents);
    expect(found.baseLoss).toBeCloseTo(base.mean, 5);
    expect(found.tokens[layer * 8 + expert]).toBe(golden.tokens);
    expect(found.tokens.subarray(0, 8).reduce((a, b) => a + b)).toBe(3 * 22);
    for (const { name, delta, low, high, changes } of found.kinds)
      for (let i = 0; i < 16; i += 3) {
        const hooks = ablateExperts(Math.floor(i / 8), [i % 8], name, means[Math.floor(i / 8)]);
        const whole = lossDifference(lossOf(model, documents, { hooks }), base, { draws: 50 });
        expect(delta[i]).toBeCloseTo(whole.value, 5);
        expect(low[i]).toBeCloseTo(whole.low, 5);
        expect(high[i]).toBeCloseTo(whole.high, 5);
        expect(changes[i * 3 + 1]! / 6).toBeCloseTo(whole.perDocument[1]!, 4);
      }
    expect(progress.length).toBe(2 * 16 * 4);
    expect(progress.at(-1)).toBe(1);
    expect(expertAblation(found, { minTokens: 1 }).data.kinds.map(({ name }) => name)).toEqual([...ABLATIONS]);
  });

  test("of one layer only, and leaves no tensor behind", async () => {
    const before = tf.memory().numTensors;
    const found = await ablateEachExpert(model, documents, { layers: [1] });
    expect(tf.memory().numTensors).toBe(before);
    expect(found.layers).toEqual([1]);
    expect(found.kinds[0]!.delta.length).toBe(8);
    await expect(ablateEachExpert(model, documents, { layers: [2] })).rejects.toThrow(
      "ablateEachExpert: a layer must be from 0 to 1, got 2",
    );
  });
});
