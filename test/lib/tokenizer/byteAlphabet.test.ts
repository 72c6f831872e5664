import { expect, test } from "vitest";
import { BYTE_CHARACTERS, bytesOf, charactersOf } from "../../../lib/tokenizer/byteAlphabet.ts";

test("the alphabet is GPT-2's: printable bytes stand for themselves, the others follow from U+0100", () => {
  expect(BYTE_CHARACTERS[0x41]).toBe("A");
  expect(BYTE_CHARACTERS[0x00]).toBe("Ā");
  expect(BYTE_CHARACTERS[0x0a]).toBe("Ċ");
  expect(BYTE_CHARACTERS[0x20]).toBe("Ġ");
  expect(BYTE_CHARACTERS[0x7f]).toBe("ġ");
  expect(BYTE_CHARACTERS[0xad]).toBe("Ń");
  expect(BYTE_CHARACTERS[0xff]).toBe("ÿ");
  expect(new Set(BYTE_CHARACTERS).size).toBe(256);
});

test("bytes come back from their characters", () => {
  const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte);
  expect(charactersOf(bytes)).toHaveLength(256);
  expect(bytesOf(charactersOf(bytes))).toEqual(bytes);
});

test("characters outside the alphabet stand for no bytes", () => {
  expect(bytesOf("a b")).toBeNull();
  expect(bytesOf("日")).toBeNull();
});
