import { describe, expect, test } from "vitest";
import { wrapText } from "../../viz/wrapText.ts";

describe("wrapText", () => {
  // A letter is 0.605 em wide, so that 6.05 em hold ten.
  test("breaks a text at spaces, as late as each line allows", () => {
    expect(wrapText("the load of an expert", 6.06)).toEqual(["the load", "of an", "expert"]);
    expect(wrapText("one two", 6.06)).toEqual(["one two"]);
  });

  test("cuts a word that no line can hold, and says so", () => {
    expect(wrapText("a crossEntropyOfAll b", 6.06)).toEqual(["a", "crossEntr…", "b"]);
  });

  test("keeps an empty text as one empty line", () => {
    expect(wrapText("", 6)).toEqual([""]);
  });
});
