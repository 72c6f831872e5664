import { describe, expect, test } from "vitest";
import { maybePositive, maybeWhole, maybeWindow, windowText } from "../../viz/options.ts";

describe("maybeWhole", () => {
  test("takes the default for an absent option only", () => {
    expect(maybeWhole("view", "head", undefined, 0, 3, 2)).toBe(2);
    expect(maybeWhole("view", "head", 0, 0, 3, 2)).toBe(0);
  });

  test.each([-1, 4, 1.5, Number.NaN, "1", null])("refuses %s", (value) => {
    expect(() => maybeWhole("view", "head", value, 0, 3, 2)).toThrow(
      "view: head must be a whole number from 0 to 3, got",
    );
  });
});

describe("maybePositive", () => {
  test.each([0, -1, Number.NaN, Infinity, "2"])("refuses %s", (value) => {
    expect(() => maybePositive("view", "max", value)).toThrow("view: max must be a positive number, got");
  });
});

describe("maybeWindow", () => {
  test("shows the whole text where it fits and its start where it does not", () => {
    expect(maybeWindow("view", {}, 60, 100)).toEqual([0, 60]);
    expect(maybeWindow("view", {}, 2048, 100)).toEqual([0, 100]);
    expect(maybeWindow("view", { start: 2000 }, 2048, 100)).toEqual([2000, 2048]);
  });

  test("refuses an explicit end beyond the budget, and names it", () => {
    expect(() => maybeWindow("view", { end: 101 }, 2048, 100)).toThrow(
      "view: end must be at most start + 100 here (100), got 101",
    );
  });

  test.each([{ start: 60 }, { start: -1 }, { start: 5, end: 5 }, { end: 61 }])("refuses %o of 60 tokens", (options) => {
    expect(() => maybeWindow("view", options, 60, 100)).toThrow(RangeError);
  });

  test("refuses an empty text", () => {
    expect(() => maybeWindow("view", {}, 0, 100)).toThrow("view: the text must hold at least one token, got none");
  });
});

describe("windowText", () => {
  test("says what part of the text is shown", () => {
    expect(windowText(0, 60, 60)).toBe("60 tokens");
    expect(windowText(0, 512, 2048)).toBe("tokens 0–511 of 2,048 (next: start: 512)");
  });
});
