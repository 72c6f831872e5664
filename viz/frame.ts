import { themed, themeStyle } from "./colors.ts";
import { element, escapeText, label } from "./svg.ts";

/** Width of every picture in pixels: that of a notebook's output with room to spare. */
export const WIDTH = 840;

/**
 * Least size of text in a picture, in pixels. A picture is never drawn smaller than it is: in a narrower column it scrolls
 * sideways.
 */
export const LEAST_TEXT = 10;

/** Left and right margin in pixels. */
export const MARGIN = 16;

/** Where a picture's body starts, below title and subtitle, in pixels. */
export const TOP = 62;

export const SANS = "'DejaVu Sans', 'Segoe UI', 'Helvetica Neue', Arial, sans-serif";
export const MONO = "'DejaVu Sans Mono', Menlo, Consolas, 'Liberation Mono', monospace";

/** What every picture has around its body. */
interface Frame {
  /** Readable alone. */
  title: string;
  /** Sample size and what is shown. */
  subtitle: string;
  /** The picture in words, with its numbers. */
  description: string;
  height: number;
  body: readonly string[];
}

/** The whole picture: a themed SVG whose colours follow the reader's preference. */
export function frame({ title, subtitle, description, height: needed, body }: Frame): string {
  // Whole pixels, so that the image and the live picture that takes its place are equally large.
  const height = Math.ceil(needed);
  const parts = [
    // Signs are many, so their colour is a class rather than an attribute of each; on a shaded ground they are not faint.
    `<style>.s{fill:${themed("muted")}}.on .s{fill:${themed("ink")}}</style>`,
    hatch(),
    element("rect", { width: WIDTH, height, fill: themed("paper"), class: "paper" }),
    label(MARGIN, 27, title, { "font-size": 15, "font-weight": "bold", class: "title" }),
    label(MARGIN, 46, subtitle, { fill: themed("muted") }),
    ...body,
  ];
  return element(
    "svg",
    {
      xmlns: "http://www.w3.org/2000/svg",
      width: WIDTH,
      height,
      viewBox: `0 0 ${WIDTH} ${height}`,
      role: "img",
      "font-family": SANS,
      "font-size": 11,
      fill: themed("ink"),
    },
    element("title", {}, escapeText(title)),
    element("desc", {}, escapeText(description)),
    themeStyle(parts.join("")),
    ...parts,
  );
}

/** Hatching: what is absent or was not computed, as against zero. */
function hatch(): string {
  const line = element("rect", { width: 0.9, height: 5, fill: themed("faint") });
  const pattern = { id: "hatch", width: 5, height: 5, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" };
  return element("defs", {}, element("pattern", pattern, line));
}

export const HATCH = "url(#hatch)";

/**
 * The key of a sequential scale.
 * @param ends what stands before and after the ramp
 * @param opacity at the low and the high end
 */
export function rampLegend(
  x: number,
  y: number,
  name: string,
  ends: readonly [string, string],
  opacity: readonly [number, number] = [0, 1],
  color: string = themed("value"),
): string {
  const [faintest, fullest] = opacity;
  const left = x + (name.length + ends[0].length) * 6.8 + 16;
  const ramp = Array.from({ length: 32 }, (_, i) =>
    element("rect", {
      x: left + i * 4,
      y,
      width: 4,
      height: 10,
      "fill-opacity": faintest + ((fullest - faintest) * i) / 31,
    }),
  );
  return [
    label(x, y + 9, name, { fill: themed("muted") }),
    label(left - 6, y + 9, ends[0], { fill: themed("muted"), "text-anchor": "end" }),
    element("g", { fill: color, "shape-rendering": "crispEdges" }, ...ramp),
    element("rect", { x: left, y, width: 128, height: 10, fill: "none", stroke: themed("faint") }),
    label(left + 134, y + 9, ends[1], { fill: themed("muted") }),
  ].join("");
}

/**
 * The key of a diverging scale, whose middle is the baseline.
 * @param ends what stands at its low end, above its middle and at its high end
 */
export function divergingLegend(x: number, y: number, name: string, ends: readonly [string, string, string]): string {
  const left = x + (name.length + ends[0].length) * 6.8 + 16;
  const ramp = Array.from({ length: 48 }, (_, i) => {
    const at = (i - 23.5) / 23.5;
    const fill = themed(at < 0 ? "negative" : "positive");
    return element("rect", { x: left + i * 4, y, width: 4, height: 10, fill, "fill-opacity": Math.abs(at) });
  });
  const muted = { fill: themed("muted") };
  return [
    label(x, y + 9, name, muted),
    label(left - 6, y + 9, ends[0], { ...muted, "text-anchor": "end" }),
    element("g", { "shape-rendering": "crispEdges" }, ...ramp),
    element("rect", { x: left, y, width: 192, height: 10, fill: "none", stroke: themed("faint") }),
    element("path", { d: `M${left + 96} ${y - 3}v16`, stroke: themed("ink") }),
    label(left + 96, y + 24, ends[1], { ...muted, "font-size": 10, "text-anchor": "middle" }),
    label(left + 198, y + 9, ends[2], muted),
  ].join("");
}
