import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { fromTokenizerJson } from "../../../lib/tokenizer/huggingFace.ts";
import { SPLIT_PATTERN, trainBpe } from "../../../lib/train/bpe.ts";

/** Made by Python's `tokenizers`: test/golden/make_tokenizer.py. */
const golden = JSON.parse(readFileSync(new URL("../../golden/tokenizer.json", import.meta.url), "utf8")) as {
  split: string;
  trained: { corpus: string[]; size: number; vocab: Record<string, number>; merges: [string, string][] }[];
  byteLevel: { cases: { text: string; ids: number[] }[] };
};

describe("against the trainer of Python's tokenizers", () => {
  test("both cut text by the same pattern", () => {
    expect(SPLIT_PATTERN).toBe(golden.split);
  });

  test.each(golden.trained)(
    "the same merges in the same order for $size pieces",
    ({ corpus, size, vocab, merges: expected }) => {
      const { model } = trainBpe(corpus, { vocabSize: size });
      expect(model.merges).toEqual(expected);
      expect(model.vocab).toEqual(vocab);
    },
  );

  test("and so the same ids for texts neither has seen", () => {
    const { corpus, size } = golden.trained[0]!;
    const tokenizer = fromTokenizerJson(trainBpe(corpus, { vocabSize: size }));
    for (const { text, ids } of golden.byteLevel.cases.filter((one) => !one.text.includes("<|tool|>"))) {
      expect(tokenizer.encode(text, { allowSpecial: true })).toEqual(ids);
    }
  });
});

/** The first merges learned from texts, each as `left right`. */
function merges(texts: string[], most: number): string[] {
  return trainBpe(texts, { vocabSize: 257 + most }).model.merges.map(([left, right]) => `${left} ${right}`);
}

describe("the rule", () => {
  test("the most frequent pair goes first", () => {
    expect(merges(["xyxy", "xy", "ab"], 1)).toEqual(["x y"]);
  });

  test("of equally frequent pairs the one with the smaller left piece, then right piece, goes first", () => {
    expect(merges(["zb", "za", "ac"], 3)).toEqual(["a c", "z a", "z b"]);
  });

  test("a merged piece is counted anew, and a run is merged from the left", () => {
    // aaaaa is (aa)(aa)a after the first merge; then (aa)(aa) and (aa)a are as frequent, and a's id is the smaller.
    expect(merges(["aaaaa"], 3)).toEqual(["a a", "aa a", "aa aaa"]);
  });

  test("no piece crosses a cut: digits stand alone and a word takes the space before it", () => {
    expect(merges(["12 12 12 12", "to to to"], 9)).toEqual(["t o", "Ġ to"]);
  });
});

test("training ends where there is no pair left", () => {
  const { model } = trainBpe(["ab"], { vocabSize: 1000 });
  expect(Object.keys(model.vocab)).toHaveLength(258);
});

test("nothing is learned from no text, and every byte can still be written", () => {
  const tokenizer = fromTokenizerJson(trainBpe([], { vocabSize: 300 }));
  expect(tokenizer.vocabSize).toBe(257);
  expect(tokenizer.decode(tokenizer.encode("日本 \0 ☕"))).toBe("日本 \0 ☕");
});

test("specials take the first ids", () => {
  const { added_tokens, model } = trainBpe(["text"], { vocabSize: 260, specials: ["<|a|>", "<|b|>"] });
  expect(added_tokens.map(({ id, content }) => [id, content])).toEqual([
    [0, "<|a|>"],
    [1, "<|b|>"],
  ]);
  expect(model.vocab["<|b|>"]).toBe(1);
});

test("progress is reported in hundreds of merges", () => {
  const seen: [number, number][] = [];
  const texts = Array.from(
    { length: 300 },
    (_, i) => `${String.fromCharCode(0x4e00 + i)}${String.fromCharCode(0x5e00 + i)}`,
  );
  trainBpe(texts, { vocabSize: 257 + 250, onProgress: (done, of) => seen.push([done, of]) });
  expect(seen).toEqual([
    [100, 250],
    [200, 250],
  ]);
});

test.each([256, 0, -1, 300.5, Number.NaN])("a vocabulary of %d pieces is refused", (vocabSize) => {
  expect(() => trainBpe(["x"], { vocabSize })).toThrow(ConfigError);
  expect(() => trainBpe(["x"], { vocabSize })).toThrow("trainBpe: vocabSize must be an integer of at least 257");
});
