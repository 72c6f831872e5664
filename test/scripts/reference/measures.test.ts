import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { jensenShannon } from "../../../lib/metrics/jensenShannon.ts";
import { fromTokenizerJson } from "../../../lib/tokenizer/huggingFace.ts";
import { trainBpe } from "../../../lib/train/bpe.ts";
import { outsideReferences } from "../../../scripts/reference/outside.ts";
import { heldOutRouting } from "../../../scripts/reference/routing.ts";
import { sampleContinuations } from "../../../scripts/reference/samples.ts";
import { randomModel, seeded, TINY } from "../../helpers.ts";

const PROSE = "the router sends each token to two experts, and the experts answer. ";
const tokenizer = fromTokenizerJson(trainBpe([PROSE], { vocabSize: 270 }));
const HALF = Math.ceil(tokenizer.encode(PROSE).length / 2);

describe("measures of the reference model", () => {
  beforeAll(async () => {
    await useBackend();
  });

  test("outside references are in bits a byte: near 0 for a text that was seen, above 8 for noise", () => {
    const random = seeded(3);
    const noise = String.fromCharCode(...Array.from({ length: 4000 }, () => Math.floor(random() * 128)));
    const heldOut = new Map([
      ["noise", [noise.slice(0, 2000), noise.slice(2000)]],
      ["prose", [PROSE.repeat(60)]],
    ]);
    const [ofNoise, ofProse] = outsideReferences([PROSE.repeat(100)], heldOut, tokenizer);
    expect([ofNoise!.kind, ofNoise!.bytes, ofProse!.kind, ofProse!.bytes]).toEqual([
      "noise",
      4000,
      "prose",
      60 * PROSE.length,
    ]);
    // 7 random bits in each byte.
    expect(ofNoise!.xz).toBeGreaterThan(6.9);
    expect(ofNoise!.byteNgram).toBeGreaterThan(8);
    expect(ofNoise!.tokenNgram).toBeGreaterThan(8);
    for (const bits of [ofProse!.xz, ofProse!.byteNgram, ofProse!.tokenNgram]) expect(bits).toBeLessThan(0.5);
  });

  test("routing of held-out text is measured by layer: what jensenShannon gives for the loads of the kinds, beside chance", () => {
    const model = randomModel();
    const random = seeded(8);
    const some = (n: number, from: number): Uint16Array =>
      Uint16Array.from({ length: n }, () => from + Math.floor(6 * random()));
    const tokens = new Map([
      ["low", some(86, 0)],
      ["high", some(83, 16)],
    ]);
    const before = tf.memory().numTensors;
    const { layers, ...rest } = heldOutRouting(model, tokens, 8, () => {});
    expect(tf.memory().numTensors).toBe(before);
    expect(rest).toEqual({ nTokens: 160, nWindows: 20, pos: 8, kinds: ["low", "high"] });
    const counts = [...tokens.values()].map((ids) => {
      const of = [0, 1].map(() => Array<number>(5).fill(0));
      for (let w = 0; w < 10; w++) {
        const { logits, cache } = model.runWithCache(ids.subarray(8 * w, 8 * w + 8), {
          names: "*.hook_expert_indices",
        });
        for (const l of [0, 1])
          for (const e of cache.get(`blocks.${l}.mlp.hook_expert_indices`).dataSync()) of[l]![e]! += 1;
        logits.dispose();
        cache.dispose();
      }
      return of;
    });
    for (const [l, layer] of layers.entries()) {
      const both = counts[0]![l]!.map((n, e) => n + counts[1]![l]![e]!);
      expect(layer.layer).toBe(l);
      expect(layer.maxVio).toBeCloseTo((Math.max(...both) * 5) / 320 - 1, 12);
      expect(layer.leastLoad).toBeCloseTo(Math.min(...both) / 320, 12);
      const { value, chance, most } = layer.specialization;
      expect(value).toBeCloseTo(jensenShannon([counts[0]![l]!, counts[1]![l]!]), 12);
      expect(chance.low > 0 && chance.low <= chance.mean && chance.mean <= chance.high).toBe(true);
      expect(most).toBe(1);
    }
    model.dispose();
  });

  test("samples continue the beginning of a held-out document, the same for the same seed", async () => {
    const model = randomModel({ ...TINY, dVocab: tokenizer.vocabSize, nCtx: 128 });
    const heldOut = new Map([["prose", [PROSE, `${PROSE}again. `.repeat(20)]]]);
    const samples = await sampleContinuations(model, tokenizer, heldOut);
    expect(samples).toEqual(await sampleContinuations(model, tokenizer, heldOut));
    expect(samples.map(({ kind, seed }) => [kind, seed])).toEqual([1, 2, 3].map((seed) => ["prose", seed]));
    // The first document is short: half of it is given.
    for (const { document, given } of samples)
      expect(given).toBe(
        tokenizer.decode(tokenizer.encode(heldOut.get("prose")![document]!).slice(0, [HALF, 64][document])),
      );
    expect(new Set(samples.map(({ added }) => added)).size).toBe(3);
    model.dispose();
  });
});
