import { Resvg } from "@resvg/resvg-js";
import { describe, expect, test } from "vitest";
import { inTheme, themed } from "../../viz/colors.ts";
import { drawMarks } from "../../viz/marks.ts";
import type { Mark } from "../../viz/outlines.ts";
import { divergingFills, divergingStep, type Fill, scaleFills, scaleStep } from "../../viz/scale.ts";

const MARKS: Mark[] = [
  { x: 2, y: 3, width: 4, height: 5, fill: 0 },
  { x: 6, y: 3, width: 3.5, height: 5, fill: 1 },
  { x: 10, y: 10, width: 6, height: 2, fill: 2 },
];

function pixels(fills: Fill[], asImage: boolean): Uint8Array {
  const body = inTheme(drawMarks("m", MARKS, fills, asImage), "light");
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="20" height="16"><rect width="20" height="16" fill="#fff"/>${body}</svg>`;
  return new Resvg(svg, { fitTo: { mode: "zoom", value: 2 } }).render().pixels;
}

describe("drawMarks", () => {
  test.each([
    { what: "fixed colours", fills: ["#ff0000", "#00aa00", "#0000ff"].map((color) => ({ color, opacity: 1 })) },
    { what: "a themed scale", fills: [0.2, 0.6, 1].map((opacity) => ({ color: themed("value"), opacity })) },
    {
      what: "two themed colours",
      fills: [
        { color: themed("positive"), opacity: 1 },
        { color: themed("negative"), opacity: 0.5 },
        { color: themed("positive"), opacity: 0.5 },
      ],
    },
  ])("gives the same pixels as outlines and as an image, with $what", ({ fills }) => {
    const [outlines, image] = [pixels(fills, false), pixels(fills, true)];
    const furthest = outlines.reduce((most, value, i) => Math.max(most, Math.abs(value - image[i]!)), 0);
    expect(furthest).toBeLessThanOrEqual(3);
    expect(new Set(outlines).size).toBeGreaterThan(2);
  });

  test("makes one path for each fill in use", () => {
    const fills = [0, 1, 2, 3].map((i) => ({ color: `#00000${i}`, opacity: 1 }));
    expect(drawMarks("m", MARKS, fills, false).match(/<path/g)).toHaveLength(3);
  });
});

test("a scale runs from nothing to full colour and clips beyond", () => {
  const fills = scaleFills(themed("value"));
  const opacity = (value: number): number => fills[scaleStep(value, 2)]!.opacity;
  expect([0, 2, 5, -1].map(opacity)).toEqual([0, 1, 1, 0]);
  expect(opacity(1)).toBeCloseTo(0.5, 1);
});

test("a diverging scale is paper in the middle, full at both ends and clips beyond", () => {
  const fills = divergingFills();
  const fill = (value: number): Fill => fills[divergingStep(value, 2)]!;
  expect([-2, 2, -Infinity, 9].map((value) => fill(value).opacity)).toEqual([1, 1, 1, 1]);
  expect([-2, -0.1, 0.1, 2].map((value) => fill(value).color)).toEqual(
    ["negative", "negative", "positive", "positive"].map((role) => themed(role as "negative")),
  );
  expect(fill(0).opacity).toBe(0);
  expect(fill(-1).opacity).toBeCloseTo(fill(1).opacity, 9);
});
