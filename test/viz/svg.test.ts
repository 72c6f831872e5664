import { describe, expect, test } from "vitest";
import { element, escapeText, label, rectPath, round } from "../../viz/svg.ts";

describe("element", () => {
  test("escapes attribute values, rounds numbers and leaves nulls out", () => {
    expect(element("a", { b: '"<&', c: 1 / 3, d: null, e: undefined })).toBe('<a b="&#34;&#60;&#38;" c="0.333"/>');
  });

  test("holds its children", () => {
    expect(label(1, 2, "a<b", { fill: "red" })).toBe('<text x="1" y="2" fill="red">a&#60;b</text>');
  });
});

describe("escapeText", () => {
  test("replaces what XML cannot hold", () => {
    expect(escapeText("a\u0000b\ud800c\uffffd")).toBe("a\ufffdb\ufffdc\ufffdd");
  });

  test("keeps whole characters beyond the basic plane", () => {
    expect(escapeText("😀\n")).toBe("😀\n");
  });
});

test("round gives no negative zero", () => {
  expect(Object.is(round(-0.0001), 0)).toBe(true);
});

test("rectPath goes round the rectangle", () => {
  expect(rectPath(1, 2, 3, 4)).toBe("M1 2h3v4h-3z");
});
