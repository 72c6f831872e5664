import { describe, expect, test } from "vitest";
import { arcOf } from "../../viz/arc.ts";
import { attentionArcs } from "../../viz/attentionArcs.ts";
import { ATTENTION, attentionOf, byLine } from "./samples.ts";

describe("attentionArcs", () => {
  test("draws the arcs of three tokens", async () => {
    await expect(byLine(attentionArcs(ATTENTION, { head: 1 }).svg)).toMatchFileSnapshot("snapshots/attentionArcs.svg");
  });

  test("says its threshold and the share of attention that is drawn", () => {
    // Head 1: rows (1), (0.75, 0.25), (0.5, 0.125, 0.375); from 0.3 on 1, 0.75, 0.5 and 0.375 of 3 are drawn.
    const { data, text, svg } = attentionArcs(ATTENTION, { head: 1, threshold: 0.3 });
    expect(data.drawn).toBeCloseTo(2.625 / 3, 6);
    expect(text).toContain("3 tokens, head 1 of 2; weights from 0.300, 87.5 % of the attention.");
    expect(svg.match(/<path d="M330 [\d.]+C/g)).toHaveLength(2);
    expect(svg.match(/<circle/g)).toHaveLength(2);
  });

  test("compares what a token receives with an even spread", () => {
    // Token 0 receives 1 + 0.75 + 0.5; evenly 1 + 1/2 + 1/3.
    expect(attentionArcs(ATTENTION, { head: 1 }).text).toContain(
      "Receives most: position 0, “<s>”, 2.25 tokens' worth, evenly 1.83.",
    );
  });

  test("leaves the first token out and scales each row to one without it", () => {
    const { data, text } = attentionArcs(ATTENTION, { head: 1, dropFirst: true });
    expect([...data.weights]).toEqual([0, 0, 1, 0, 0.25, 0.75]);
    expect(data.dropped).toBeCloseTo(2.25 / 3, 6);
    expect(text).toContain("without the first token, which took 75.0 %");
  });

  test("draws about four arcs for each token where no threshold is given", () => {
    const { data } = attentionArcs(attentionOf(80, 2));
    const arcs = data.weights.filter((weight) => weight >= data.threshold).length;
    expect(Math.abs(arcs - 320)).toBeLessThanOrEqual(1);
  });

  test("refuses too many arcs, a head that is not there, and numbers that are none", () => {
    expect(() => attentionArcs(attentionOf(96, 1), { threshold: 0 })).toThrow(
      "attentionArcs: threshold must leave at most 400 arcs, got 4656 of at least 0",
    );
    expect(() => attentionArcs(ATTENTION, { head: 2 })).toThrow(
      "attentionArcs: head must be a whole number from 0 to 1, got 2",
    );
    expect(() => attentionArcs(ATTENTION, { threshold: 2 })).toThrow(
      "attentionArcs: threshold must be a number from 0 to 1, got 2",
    );
    expect(() => attentionArcs({ ...ATTENTION, pattern: ATTENTION.pattern.with(3, Number.NaN) })).toThrow(
      "must be finite, got NaN",
    );
    expect(() => attentionArcs({ ...ATTENTION, nHeads: 3 })).toThrow("[3, 3, 3], got 18 numbers");
    expect(() => attentionArcs(attentionOf(120, 1), { end: 120 })).toThrow(
      "attentionArcs: end must be at most start + 96",
    );
  });
});

test("arcs reach further left the further apart their ends are, but stay in the picture", () => {
  const reach = (distance: number): number => Number(/C([\d.-]+) /.exec(arcOf(300, 1000, 1000 - distance, 0.5).d)![1]);
  expect(reach(16)).toBeGreaterThan(reach(160));
  expect(reach(2000)).toBe(24);
  expect(arcOf(300, 0, 16, 1).width).toBeGreaterThan(arcOf(300, 0, 16, 0.1).width);
});
