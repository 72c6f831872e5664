import { describe, expect, test } from "vitest";
import type { Document } from "../../../scripts/corpus/document.ts";
import { passageOf, passages } from "../../../scripts/corpus/passages.ts";

const sentence = (i: number): string => `Sentence number ${i} says something of middling length.`;
const many = (count: number, glue: string): string =>
  Array.from({ length: count }, (_, i) => `${i} ${sentence(i)}`).join(glue);

describe("a passage", () => {
  test("is whole lines of 300 to 600 characters from a third into the document", () => {
    const text = many(60, "\n\n");
    const passage = passageOf({ kind: "english", text })!;
    expect(passage.length).toBeGreaterThanOrEqual(300);
    expect(passage.length).toBeLessThanOrEqual(600);
    expect(passage.startsWith(`20 ${sentence(20)}`)).toBe(true);
    expect(passage.endsWith(".")).toBe(true);
    expect(text).toContain(passage);
  });

  test("is whole sentences where the text is one long line", () => {
    expect(passageOf({ kind: "english", text: many(60, " ") })).toMatch(/length\.$/);
    expect(passageOf({ kind: "japanese", text: "これは文です。".repeat(200) })).toMatch(/^(これは文です。)+$/);
  });

  test("starts where the document does for worked problems and data", () => {
    expect(passageOf({ kind: "maths", text: many(60, "\n\n") })!.startsWith("0 Sentence")).toBe(true);
  });

  test("is not there where the document is short or lists the same over and over", () => {
    expect(passageOf({ kind: "english", text: "Too short." })).toBeNull();
    expect(passageOf({ kind: "english", text: "the color of line one\n".repeat(100) })).toBeNull();
  });
});

test("passages come from every source before a source comes twice", () => {
  const documents: Document[] = ["a", "a", "a", "b", "c"].map((source, i) => ({
    kind: "english",
    source,
    name: `${i}`,
    text: many(60, "\n\n"),
  }));
  expect(passages(documents).map(({ name }) => name)).toEqual(["0", "3", "4", "1"]);
});
