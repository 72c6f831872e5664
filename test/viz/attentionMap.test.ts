import { describe, expect, test } from "vitest";
import { ShapeError } from "../../lib/errors.ts";
import { attentionMap } from "../../viz/attentionMap.ts";
import { ATTENTION, byLine, piece } from "./samples.ts";

describe("attentionMap", () => {
  test("draws one head of three tokens", async () => {
    await expect(byLine(attentionMap(ATTENTION, { head: 1 }).svg)).toMatchFileSnapshot("snapshots/attentionMap.svg");
  });

  test("keeps the lower triangle of the asked-for head", () => {
    const { weights, head, kept } = attentionMap(ATTENTION, { head: 1 }).data;
    expect(head).toBe(1);
    expect([...weights]).toEqual([1, 0.75, 0.25, 0.5, 0.125, 0.375]);
    expect(kept).toBe(1);
  });

  test("hatches exactly the cells above the diagonal", () => {
    const svg = attentionMap(ATTENTION).svg;
    // From the end of cell (0, 0), down and right in steps of one cell (26) to the end of cell (1, 1), then back up.
    expect(svg).toMatch(/d="M158 90v26h26v26h26V90z" fill="url\(#hatch\)"/);
  });

  test("says what share of the attention a late window shows", () => {
    const figure = attentionMap(ATTENTION, { head: 1, start: 1 });
    expect([...figure.data.weights]).toEqual([0.25, 0.125, 0.375]);
    // Rows 1 and 2 give 0.25 and 0.5 to tokens shown.
    expect(figure.data.kept).toBe(0.375);
    expect(figure.svg).toContain("tokens shown get 37.5 % of the attention");
  });

  test("says which token is looked at most", () => {
    expect(attentionMap(ATTENTION, { head: 1 }).text).toContain(
      "Most looked at: position 0, “<s>”, with a mean weight of 0.750.",
    );
  });

  test("says in the key that larger weights are clipped", () => {
    expect(attentionMap(ATTENTION, { max: 0.5 }).svg).toContain("≥ 0.500");
    expect(attentionMap(ATTENTION, { max: 1 }).svg).not.toContain("≥");
  });

  test("shows a long text in windows", () => {
    const n = 300;
    const pattern = Float32Array.from({ length: n * n }, (_, i) =>
      i % n <= Math.floor(i / n) ? 1 / (Math.floor(i / n) + 1) : 0,
    );
    const long = { layer: 0, nHeads: 1, pieces: Array.from({ length: n }, () => piece("a")), pattern };
    expect(attentionMap(long).data.nTokens).toBe(192);
    expect(attentionMap(long).svg).toContain("tokens 0–191 of 300 (next: start: 192)");
    expect(attentionMap(long, { start: 200 }).data.nTokens).toBe(100);
    expect(() => attentionMap(long, { end: 300 })).toThrow(
      "attentionMap: end must be at most start + 192 here (192), got 300",
    );
  });

  test("refuses a head that does not exist, a pattern of another size, and NaN", () => {
    expect(() => attentionMap(ATTENTION, { head: 2 })).toThrow(
      "attentionMap: head must be a whole number from 0 to 1, got 2",
    );
    expect(() => attentionMap({ ...ATTENTION, nHeads: 3 })).toThrow(ShapeError);
    expect(() => attentionMap({ ...ATTENTION, nHeads: 3 })).toThrow(
      "attentionMap: pattern must be [n_heads, q_pos, k_pos] = [3, 3, 3], got 18 numbers",
    );
    expect(() => attentionMap({ ...ATTENTION, pattern: ATTENTION.pattern.with(3, Number.NaN) })).toThrow(
      "attentionMap: pattern must be finite, got NaN at 1 of the window",
    );
  });
});
