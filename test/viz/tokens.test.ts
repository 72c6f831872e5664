import { describe, expect, test } from "vitest";
import { showId, showToken, textWidth, tokenText } from "../../viz/tokens.ts";
import { piece, stray } from "./samples.ts";

describe("showToken", () => {
  test.each([
    { what: "a leading space", token: piece(" the"), string: "␣the" },
    { what: "line ends and tabs", token: piece("\r\n\t"), string: "␍↵⇥" },
    { what: "a control character", token: piece("\u0007"), string: "␇" },
    { what: "half a character", token: stray(0xe3, 0x81), string: "⟨E3 81⟩" },
    { what: "a space before half a character", token: stray(0x20, 0xe3, 0x81), string: "␣⟨E3 81⟩" },
    { what: "a character, then half of one", token: stray(0xe3, 0x81, 0x82, 0xf0, 0x9f), string: "あ⟨F0 9F⟩" },
    { what: "a continuation byte alone", token: stray(0x84), string: "⟨84⟩" },
    { what: "an overlong form", token: stray(0xc0, 0xaf), string: "⟨C0 AF⟩" },
    { what: "a zero-width space", token: piece("a\u200bb"), string: "a⟨U+200B⟩b" },
    { what: "a direction override", token: piece("\u202eabc"), string: "⟨U+202E⟩abc" },
    { what: "a no-break space", token: piece("\u00a0"), string: "⟨U+00A0⟩" },
    { what: "a byte order mark", token: piece("\ufeff"), string: "⟨U+FEFF⟩" },
    { what: "a lone joiner", token: piece("\u200d"), string: "⟨U+200D⟩" },
    { what: "a joiner between Latin letters", token: piece("a\u200db"), string: "a⟨U+200D⟩b" },
    { what: "a joiner inside an emoji", token: piece("👩\u200d🔬"), string: "👩\u200d🔬" },
    { what: "a selector after an emoji", token: piece("❤\ufe0f"), string: "❤\ufe0f" },
    { what: "a mark without its letter", token: piece("\u0301a"), string: "◌\u0301a" },
    { what: "a letter with its mark", token: piece("e\u0301"), string: "e\u0301" },
    { what: "right-to-left text", token: piece(" مرحبا"), string: "␣مرحبا" },
    { what: "no bytes at all", token: piece(""), string: "⟨⟩" },
  ])("shows $what", ({ token, string }) => {
    expect(showToken(token).string).toBe(string);
  });

  test("tells control tokens from text that looks like one", () => {
    expect(showToken(piece("<|end|>", true)).special).toBe(true);
    expect(showToken(piece("<|end|>")).special).toBe(false);
  });

  test("knows where a line of the document ends", () => {
    expect(showToken(piece(".\n")).breaksLine).toBe(true);
    expect(showToken(piece("n")).breaksLine).toBe(false);
  });

  test("falls back to the id", () => {
    expect(showId(42).string).toBe("#42");
  });
});

describe("tokenText", () => {
  test("escapes hostile text", () => {
    const markup = tokenText(showToken(piece(`</text><script>"'&`)), { x: 0 });
    expect(markup).toBe('<text x="0">&#60;/text&#62;&#60;script&#62;&#34;&#39;&#38;</text>');
  });

  test("cuts what is too wide and says so", () => {
    const width = textWidth("abcdef");
    expect(tokenText(showToken(piece("abcdef")), {}, width)).toBe("<text>abcdef</text>");
    expect(tokenText(showToken(piece("abcdefg")), {}, width)).toBe('<text>abcde<tspan class="s">…</tspan></text>');
  });

  test("slants control tokens", () => {
    expect(tokenText(showToken(piece("<s>", true)), {})).toContain('font-style="italic"');
  });
});

describe("textWidth", () => {
  test("counts wide characters wider, and marks not at all", () => {
    expect(textWidth("東")).toBeGreaterThan(1.5 * textWidth("a"));
    expect(textWidth("e\u0301")).toBe(textWidth("e"));
  });
});
