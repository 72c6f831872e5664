import { describe, expect, test } from "vitest";
import { HELD_OUT, isHeldOut, selected } from "../../../scripts/corpus/choose.ts";
import type { Document } from "../../../scripts/corpus/document.ts";

function documents(count: number, size = 100): Document[] {
  return Array.from({ length: count }, (_, i) => ({
    kind: "maths",
    source: "s",
    name: `n${i}`,
    text: "x".repeat(size),
  }));
}

test("about the wanted share is held out", () => {
  const share = documents(20000).filter(isHeldOut).length / 20000;
  expect(Math.abs(share - HELD_OUT)).toBeLessThan(0.005);
});

test("whether a document is held out depends on its source and name alone", () => {
  expect(
    documents(200)
      .filter(isHeldOut)
      .map(({ name }) => name),
  ).toEqual(
    documents(200, 7)
      .filter(isHeldOut)
      .map(({ name }) => name),
  );
});

describe("a selection", () => {
  test("fills the bytes allowed, in the documents' order", () => {
    const all = documents(1000);
    const some = selected(all, 25_050);
    expect(some).toHaveLength(250);
    expect(some).toEqual(all.filter((document) => some.includes(document)));
  });

  test("counts bytes, not characters", () => {
    const all = documents(10).map((document) => ({ ...document, text: "日".repeat(10) }));
    expect(selected(all, 100)).toHaveLength(3);
  });

  test("holds out the same share as the whole", () => {
    const some = selected(documents(40000), 1_000_000);
    expect(Math.abs(some.filter(isHeldOut).length / some.length - HELD_OUT)).toBeLessThan(0.008);
  });

  test("leaves out documents that would outweigh the rest", () => {
    expect(selected([{ kind: "python", source: "s", name: "huge", text: "x".repeat(100_001) }], 1e6)).toEqual([]);
  });
});
