import { describe, expect, test } from "vitest";
import { logitLens } from "../../viz/logitLens.ts";
import { byLine, LENS } from "./samples.ts";

describe("logitLens", () => {
  test("draws two tokens through three rows", async () => {
    await expect(byLine(logitLens(LENS).svg)).toMatchFileSnapshot("snapshots/logitLens.svg");
  });

  test("goes from token to token, and knows what is already final and what is really next", () => {
    const { data } = logitLens(LENS);
    expect([...data.topIds].filter((_, i) => i % 3 === 0)).toEqual([3, 2, 2, 4, 4, 0]);
    expect([...data.isFinal]).toEqual([0, 1, 1, 0, 0, 1]);
    // The second token has the id 2; after it the text ends.
    expect([...data.isNext]).toEqual([0, 1, 1, 0, 0, 0]);
    expect([...data.finalRank!]).toEqual([2, 1, 1, 2, 2, 1]);
  });

  test("says how far each row is, what was applied, and what a guess would give", () => {
    expect(logitLens(LENS).text).toBe(
      "Logit lens: the next token that each layer would predict: 2 tokens, 3 places read with the final norm; a guess among " +
        "all tokens: 1 in 5. Top token is the last row's: embedding 0.0 %, layer 0 50.0 %, layer 1 100.0 %; it is " +
        "really next after layer 1: 50.0 %.",
    );
  });

  test("colours by rank where asked, strongest at rank 1", () => {
    const { svg } = logitLens(LENS, { color: "rank" });
    expect(svg).toContain("rank of the last layer");
    // Rank 1 three times as strong as text allows; rank 2 of 5: 1 − log 2 / log 5, in 64 steps.
    expect(svg.match(/<path d="[^"]+" fill="#0f4c8a" fill-opacity="0.45"\/>/g)).toHaveLength(1);
    expect(svg).toContain(`fill-opacity="${Math.round((36 / 63) * 450) / 1000}"`);
  });

  test("shows an id that no token is known for, and escapes the others", () => {
    const hostile = { id: 3, bytes: new Uint8Array(), text: "<b>", special: false };
    const { svg } = logitLens({ ...LENS, vocabulary: new Map([[3, hostile]]) });
    expect(svg).toContain("#4");
    expect(svg).not.toContain("<b>");
  });

  test("refuses arrays of another size, and ranks that are not there", () => {
    const { finalRank: _, ...without } = LENS;
    expect(() => logitLens(without, { color: "rank" })).toThrow(
      'logitLens: finalRank must be given for color "rank", got none',
    );
    expect(() => logitLens({ ...LENS, topIds: [1] })).toThrow(
      "topIds and topProbs must be [n_rows, n_tokens, n_top] = [3, 2, n], got 1 and 18",
    );
    expect(() => logitLens({ ...LENS, finalRank: [1] })).toThrow(
      "finalRank must be [n_rows, n_tokens] = [3, 2], got 1 numbers",
    );
    expect(() => logitLens({ ...LENS, topProbs: Array.from(LENS.topProbs, () => Number.NaN) })).toThrow(
      "topProbs must be finite, got NaN",
    );
    expect(() => logitLens(LENS, { color: "red" as "rank" })).toThrow(
      "logitLens: color must be probability or rank, got red",
    );
    expect(() => logitLens(LENS, { start: 2 })).toThrow("logitLens: start must be a whole number from 0 to 1");
  });
});
