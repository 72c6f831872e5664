import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CheckpointError } from "../../../lib/errors.ts";
import { fromTokenizerJson } from "../../../lib/tokenizer/huggingFace.ts";

interface Made {
  json: Record<string, unknown>;
  cases: { text: string; ids: number[]; decoded: string }[];
}

/** Made by Python's `tokenizers`: test/golden/make_tokenizer.py. */
const golden = JSON.parse(readFileSync(new URL("../../golden/tokenizer.json", import.meta.url), "utf8")) as {
  byteLevel: Made;
  metaspace: Made;
};
const byteLevel = fromTokenizerJson(golden.byteLevel.json);
const metaspace = fromTokenizerJson(golden.metaspace.json);

describe("against Python's tokenizers", () => {
  test.each(golden.byteLevel.cases)(
    "a byte-level tokenizer encodes and decodes $text alike",
    ({ text, ids, decoded }) => {
      expect(byteLevel.encode(text, { allowSpecial: true })).toEqual(ids);
      expect(byteLevel.decode(ids)).toBe(decoded);
      expect(byteLevel.decode(ids)).toBe(text);
    },
  );

  test.each(golden.metaspace.cases)(
    "a tokenizer with byte fallback encodes and decodes $text alike",
    ({ text, ids, decoded }) => {
      expect(metaspace.encode(text)).toEqual(ids);
      expect(metaspace.decode(ids)).toBe(decoded);
    },
  );
});

describe("special tokens", () => {
  test("written in a text are plain text unless asked", () => {
    const end = byteLevel.specials.get("<|endoftext|>")!;
    const plain = byteLevel.encode("a<|endoftext|>b");
    expect(plain).not.toContain(end);
    expect(byteLevel.decode(plain)).toBe("a<|endoftext|>b");
    expect(byteLevel.encode("a<|endoftext|>b", { allowSpecial: true }).filter((id) => id === end)).toHaveLength(1);
  });

  test("are told apart from added tokens that are text", () => {
    expect([...byteLevel.specials]).toEqual([["<|endoftext|>", 0]]);
    const ids = byteLevel.encode("<|tool|>");
    expect(byteLevel.pieces(ids)).toEqual([
      { id: ids[0], bytes: new TextEncoder().encode("<|tool|>"), text: "<|tool|>", special: false },
    ]);
  });

  test("that the model expects around a text are left out when asked", () => {
    const start = metaspace.specials.get("<s>")!;
    expect(metaspace.encode("expert")).toEqual([start, ...metaspace.encode("expert", { addSpecial: false })]);
    expect(metaspace.encode("expert", { addSpecial: false })).not.toContain(start);
    expect(metaspace.encode("")).toEqual([start]);
  });
});

describe("pieces", () => {
  test("are the bytes of the text, in order", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 40 }), (text) => {
        const bytes = byteLevel.pieces(byteLevel.encode(text)).flatMap((piece) => [...piece.bytes]);
        expect(bytes).toEqual([...new TextEncoder().encode(text)]);
      }),
    );
  });

  test("with byte fallback too, after the space that is put before a text", () => {
    for (const { text } of golden.metaspace.cases.filter((one) => one.text !== "")) {
      const pieces = metaspace.pieces(metaspace.encode(text, { addSpecial: false }));
      expect(pieces.flatMap((piece) => [...piece.bytes])).toEqual([...new TextEncoder().encode(` ${text}`)]);
    }
  });

  test("that end inside a character have bytes and no text", () => {
    const pieces = byteLevel.pieces(byteLevel.encode("👍"));
    expect(pieces.map(({ text }) => text)).toEqual(pieces.map(() => null));
    expect(pieces.flatMap(({ bytes }) => [...bytes])).toEqual([0xf0, 0x9f, 0x91, 0x8d]);
  });

  test("show a byte-order mark, a newline and a space as they are", () => {
    const text = "\ufeff\n ";
    expect(byteLevel.decode(byteLevel.encode(text))).toBe(text);
    expect(byteLevel.pieces(byteLevel.encode("\n")).map((piece) => piece.text)).toEqual(["\n"]);
  });

  test("of ids that no vocabulary entry has are empty, and decode to nothing", () => {
    const id = byteLevel.vocabSize + 5;
    expect(byteLevel.pieces([id])).toEqual([{ id, bytes: new Uint8Array(), text: null, special: false }]);
    expect(byteLevel.decode([id, ...byteLevel.encode("rest")])).toBe("rest");
  });

  test.each([-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY])("of %d are refused", (id) => {
    expect(() => byteLevel.pieces([id])).toThrow(RangeError);
    expect(() => byteLevel.decode([id])).toThrow(`an id must be a non-negative integer, got`);
  });
});

describe("texts at the edge", () => {
  test("an empty text has no ids, and no ids are an empty text", () => {
    expect(byteLevel.encode("")).toEqual([]);
    expect(byteLevel.decode([])).toBe("");
    expect(metaspace.decode([])).toBe("");
  });

  test("a lone surrogate becomes the replacement character", () => {
    expect(byteLevel.decode(byteLevel.encode("a\ud800b"))).toBe("a\ufffdb");
  });

  test("an unfinished character at the end becomes the replacement character", () => {
    expect(byteLevel.decode(byteLevel.encode("é").slice(0, 1))).toBe("\ufffd");
  });

  test("a megabyte comes back as it was", () => {
    const text = golden.byteLevel.cases
      .map((one) => one.text)
      .join(" ")
      .repeat(2000);
    expect(text.length).toBeGreaterThan(1e6);
    expect(byteLevel.decode(byteLevel.encode(text))).toBe(text);
  });

  test("ids may come as a typed array", () => {
    expect(byteLevel.decode(Int32Array.from(byteLevel.encode("typed")))).toBe("typed");
  });

  test("what is not a string is refused", () => {
    expect(() => byteLevel.encode(5 as unknown as string)).toThrow(
      new TypeError("tokenizer: text must be a string, got 5"),
    );
  });
});

describe("malformed files", () => {
  const model = golden.byteLevel.json["model"] as Record<string, unknown>;
  const changed = (change: Record<string, unknown>): unknown => ({ ...golden.byteLevel.json, ...change });
  test.each([
    [null, "content must be an object, got null"],
    [[], "content must be an object, got []"],
    [{}, "model must be an object, got undefined"],
    [changed({ model: { type: "BPE" } }), "model.vocab must be an object or a list, got undefined"],
    [changed({ model: { ...model, vocab: { a: "0" } } }), 'the id of "a" must be an integer in 0..16777215, got "0"'],
    [
      changed({ model: { ...model, vocab: { a: 1e12 } } }),
      'the id of "a" must be an integer in 0..16777215, got 1000000000000',
    ],
    [changed({ added_tokens: {} }), "added_tokens must be a list, got {}"],
    [changed({ added_tokens: [{ id: -1, content: "x" }] }), "an added token must be an object with id and content"],
    [changed({ decoder: null }), 'decoder must be ByteLevel, Metaspace or Replace of "▁", got null'],
    [changed({ decoder: { type: "WordPiece" } }), 'got {"type":"WordPiece"}'],
    [changed({ pre_tokenizer: { type: "Unheard" } }), "tokenizer.json: Unknown PreTokenizer type: Unheard"],
    [changed({ model: { ...model, merges: 5 } }), "tokenizer.json: "],
  ])("are refused with what is wrong (%#)", (json, message) => {
    expect(() => fromTokenizerJson(json)).toThrow(CheckpointError);
    expect(() => fromTokenizerJson(json)).toThrow(message);
  });

  test("fail with no other error, whatever part is replaced by whatever value", () => {
    const paths = ["added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder", "model"];
    const small = { ...golden.byteLevel.json, model: { ...model, merges: [], vocab: { a: 0, b: 1 } } };
    fc.assert(
      fc.property(fc.constantFrom(...paths), fc.jsonValue({ maxDepth: 3 }), (path, value) => {
        try {
          fromTokenizerJson({ ...small, [path]: value });
        } catch (error) {
          expect(error).toBeInstanceOf(CheckpointError);
        }
      }),
    );
  });
});
