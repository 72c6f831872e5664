import { describe, expect, test } from "vitest";
import {
  domainLabels,
  phaseLabels,
  positionLabels,
  tokenClassLabels,
  windowLabels,
} from "../../../lib/metrics/labels.ts";
import type { TokenPiece } from "../../../lib/trace/record.ts";
import { SIX } from "./traces.ts";

function piece(text: string | null, special = false): TokenPiece {
  return { id: 0, bytes: new Uint8Array(), text, special };
}

describe("labels", () => {
  test("divide tokens by domain, window, position and class", () => {
    expect(domainLabels(SIX, ["prose", "code"])).toEqual({
      names: ["prose", "code"],
      of: Int32Array.from([0, 0, 1, 1, 1, 1]),
      unit: "sequence",
    });
    expect(windowLabels(SIX, 4)).toEqual({
      names: ["0–3", "4–5"],
      of: Int32Array.from([0, 0, 0, 0, 1, 1]),
      unit: "token",
    });
    expect(positionLabels(SIX)).toMatchObject({ names: ["0", "1", "2–3"], of: Int32Array.from([0, 1, 0, 1, 2, 2]) });
    expect(positionLabels({ ...SIX, positions: Int32Array.from([4, 5, 7, 8, 9, 16]) }).names).toEqual([
      "4–7",
      "8–15",
      "16–31",
    ]);
    const texts = [piece("<s>", true), piece(null), piece(" \n"), piece(" été"), piece("ing"), piece(" 12")];
    expect(tokenClassLabels({ ...SIX, pieces: texts }).names).toEqual([
      "special",
      "partial",
      "space",
      "word",
      "subword",
      "number",
    ]);
    const others = [piece("();"), piece(" x1"), piece("東京"), piece("的 "), piece("="), piece("")];
    const { names, of } = tokenClassLabels({ ...SIX, pieces: others });
    expect(Array.from(of, (label) => names[label])).toEqual([
      "punctuation",
      "mixed",
      "subword",
      "mixed",
      "punctuation",
      "space",
    ]);
  });

  test("take a trace's own domains", () => {
    expect(domainLabels({ ...SIX, domains: ["a", "a"] }).names).toEqual(["a"]);
  });

  test("tell a prompt's tokens from those that were generated", () => {
    const phases = Uint8Array.from([0, 1, 0, 0, 1, 1]);
    expect(phaseLabels({ ...SIX, phases })).toEqual({
      names: ["prefill", "decode"],
      of: Int32Array.from(phases),
      unit: "token",
    });
    expect(() => phaseLabels({ ...SIX, phases: phases.subarray(1) })).toThrow(
      "phaseLabels: phases must be [n_tokens] = [6], got 5 numbers",
    );
    expect(() => phaseLabels(SIX)).toThrow(
      "phaseLabels: the trace must tell prompts from what was generated, got one whose recorder did not (phases is absent)",
    );
  });

  test("refuse what they cannot tell", () => {
    expect(() => domainLabels(SIX)).toThrow("domainLabels: there must be one domain for each sequence (2), got 0");
    expect(() => windowLabels(SIX, 0)).toThrow("windowLabels: size must be a whole number of at least 1, got 0");
    expect(() => tokenClassLabels(SIX)).toThrow(
      "tokenClassLabels: the trace must hold the tokens' text, got one whose recorder kept only token ids",
    );
  });
});
