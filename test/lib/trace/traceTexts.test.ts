import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import type { MoeModel } from "../../../lib/model.ts";
import type { Tokenizer } from "../../../lib/tokenizer/tokenizer.ts";
import { joinTraces } from "../../../lib/trace/sequences.ts";
import { traceTexts } from "../../../lib/trace/traceTexts.ts";
import { randomModel, TINY } from "../../helpers.ts";

/** A token for each letter from a to w. */
const LETTERS: Tokenizer = {
  vocabSize: TINY.dVocab,
  specials: new Map(),
  encodeChat: null,
  encode: (text) => Array.from(text, (letter) => letter.charCodeAt(0) - 97),
  decode: (ids) => Array.from(ids, (id) => String.fromCharCode(97 + id)).join(""),
  pieces: (ids) =>
    Array.from(ids, (id) => ({
      id,
      bytes: Uint8Array.of(97 + id),
      text: String.fromCharCode(97 + id),
      special: false,
    })),
};

describe("traceTexts", () => {
  let model: MoeModel;
  beforeAll(async () => {
    await useBackend();
    model = randomModel(TINY, 3, 1.5);
    return () => model.dispose();
  });

  const texts = [
    { text: "abcdefg", kind: "prose" },
    { text: "", kind: "code" },
    { text: "dad", kind: "code" },
  ];

  test("reads every text in windows, each with its kind, and routes them as a run of its own would", () => {
    const trace = joinTraces([...traceTexts(model, LETTERS, texts, { name: "tiny", window: 4 })]);
    expect(trace.pieces!.map(({ text }) => text).join("")).toBe("abcdefgdad");
    expect([...trace.sequenceOffsets]).toEqual([0, 4, 7, 10]);
    expect(trace.domains).toEqual(["prose", "prose", "code"]);
    expect([trace.source.model, trace.rankOrdered, trace.layers]).toEqual(["tiny", true, [0, 1]]);
    const { logits, cache } = model.runWithCache([[4, 5, 6]], { names: "blocks.*.mlp.hook_expert_indices" });
    for (let layer = 0; layer < 2; layer++) {
      const alone = cache.get(`blocks.${layer}.mlp.hook_expert_indices`).dataSync();
      for (let t = 0; t < 3; t++)
        expect([...trace.expertIndices.subarray(((4 + t) * 2 + layer) * 2, ((4 + t) * 2 + layer) * 2 + 2)]).toEqual([
          ...alone.subarray(t * 2, t * 2 + 2),
        ]);
    }
    logits.dispose();
    cache.dispose();
  });

  test("keeps probabilities unless told otherwise, and refuses a window that the model cannot read", () => {
    expect(joinTraces([...traceTexts(model, LETTERS, texts)]).routerProbs).toHaveLength(10 * 2 * 5);
    expect(joinTraces([...traceTexts(model, LETTERS, texts, { probs: false })]).routerProbs).toBeNull();
    for (const window of [0, 33, 1.5])
      expect(() => [...traceTexts(model, LETTERS, texts, { window })]).toThrow(
        `traceTexts: window must be from 1 to the model's context (32), got ${window}`,
      );
  });
});
