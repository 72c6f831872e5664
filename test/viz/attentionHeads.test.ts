import { describe, expect, test } from "vitest";
import { attentionHeads } from "../../viz/attentionHeads.ts";
import { ATTENTION, attentionOf, byLine } from "./samples.ts";

describe("attentionHeads", () => {
  test("draws two heads and the sharper one enlarged", async () => {
    await expect(byLine(attentionHeads(ATTENTION).svg)).toMatchFileSnapshot("snapshots/attentionHeads.svg");
  });

  test("measures where each head looks, beside an even spread", () => {
    const { heads, even } = attentionHeads(ATTENTION).data;
    // Head 0: rows (1), (0.5, 0.5), (0.25, 0.25, 0.5).
    expect(heads[0]).toMatchObject({ layer: 1, head: 0, first: 1.75 / 3, previous: 0.75 / 2, self: 2 / 3 });
    expect(heads[0]!.spread).toBeCloseTo((1 + (0.5 * Math.log(4) + 0.5 * Math.log(2)) / Math.log(3)) / 2, 6);
    expect(even.first).toBeCloseTo((1 + 1 / 2 + 1 / 3) / 3, 6);
    expect(even.previous).toBeCloseTo((1 / 2 + 1 / 3) / 2, 6);
  });

  test("keeps each weight where there is room for it", () => {
    const { weights, side, block } = attentionHeads(ATTENTION).data;
    expect([side, block]).toEqual([3, 1]);
    expect([...weights.subarray(6)]).toEqual([1, 0.75, 0.25, 0.5, 0.125, 0.375]);
  });

  test("takes tokens of a long text together so that rows still sum to one", () => {
    const { data, text } = attentionHeads(attentionOf(200, 32));
    // 20,000 pixels for 32 heads: 35 of a side, so six tokens each.
    expect([data.block, data.side]).toEqual([6, 34]);
    expect(text).toContain("200 tokens; each pixel = 6×6 tokens");
    // The last pixels stand for two queries each, since 200 = 33 · 6 + 2.
    const sum = data.weights.subarray((33 * 34) / 2, (34 * 35) / 2).reduce((a, b) => a + b, 0);
    expect(sum).toBeCloseTo(1, 4);
  });

  test("puts layers below each other, and many heads into lines", () => {
    const layers = [0, 1].map((layer) => ({ ...attentionOf(8, 12), layer }));
    const figure = attentionHeads(layers);
    expect(figure.title).toBe("Where 24 attention heads look: layers 0, 1");
    expect(figure.data.heads.map(({ layer, head }) => `${layer}.${head}`).slice(10, 14)).toEqual([
      "0.10",
      "0.11",
      "1.0",
      "1.1",
    ]);
  });

  test("shows a window and what an even spread would be there", () => {
    const { data, text } = attentionHeads(ATTENTION, { start: 1 });
    expect(text).toContain("tokens 1–2 of 3");
    expect(data.even.self).toBeCloseTo((1 / 2 + 1 / 3) / 2, 6);
  });

  test("refuses layers that do not go together, and more heads than fit", () => {
    const { layer, nHeads, pieces, pattern } = ATTENTION;
    expect(() => attentionHeads([])).toThrow("attentionHeads: layers must hold at least one layer, got none");
    expect(() => attentionHeads([ATTENTION, { layer: 2, nHeads: 1, pieces, pattern: pattern.slice(0, 9) }])).toThrow(
      "attentionHeads: layer 2 must have 2 heads and 3 tokens, got 1 and 3",
    );
    expect(() => attentionHeads({ layer, nHeads, pieces, pattern: pattern.slice(1) })).toThrow(
      "attentionHeads: pattern must be [n_heads, q_pos, k_pos] = [2, 3, 3], got 17 numbers",
    );
    expect(() => attentionHeads({ ...ATTENTION, pattern: pattern.with(3, Number.NaN) })).toThrow(
      "must be finite, got NaN",
    );
    expect(() => attentionHeads(attentionOf(2, 300))).toThrow("layers must have at most 64 heads together, got 300");
  });
});
