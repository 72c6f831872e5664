import { colorsOf, THEMES, type Theme } from "./colors.ts";
import { drawOutlines, type Mark } from "./outlines.ts";
import { encodePng } from "./png.ts";
import type { Fill } from "./scale.ts";
import { element } from "./svg.ts";

/** Marks up to which a picture holds outlines; beyond, it holds an image, which stays small and paints at once. */
export const MOST_OUTLINES = 4000;

/** Pixels of an image for each pixel of the picture. */
const SCALE = 2;

/**
 * Draws rectangles, as one path for each fill, or as an image.
 * @param id unique within the picture
 */
export function drawMarks(id: string, marks: readonly Mark[], fills: readonly Fill[], asImage: boolean): string {
  if (asImage) return drawImages(id, marks, fills);
  return drawOutlines(marks, fills);
}

/** Where an image stands, in the picture's pixels. */
interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

/** An image of one byte a pixel: 0 for nothing, else one more than the number of a fill. */
export interface Raster {
  width: number;
  height: number;
  /** [height, width] */
  pixels: Uint8Array;
}

function drawImages(id: string, marks: readonly Mark[], fills: readonly Fill[]): string {
  const box = boxOf(marks);
  return drawRaster(id, box, rasterOf(marks, box), fills);
}

/**
 * Draws an image that is stretched to a box. One or two themed colours are plain rectangles, each behind an image that serves
 * as its mask. More of them, the experts', make one image for each ground, of which one is shown.
 * @param id unique within the picture
 */
export function drawRaster(id: string, box: Box, raster: Raster, fills: readonly Fill[]): string {
  const { x, y, width, height } = box;
  const colors = [...new Set(fills.map((fill) => fill.color))];
  if (colors.length > 2)
    return (Object.keys(THEMES) as Theme[])
      .map((theme) => imageOf(box, raster, inColors(fills, theme), [0, 0, 0, 0], `;display:var(--${theme})`))
      .join("");
  const parts = colors.map((color, i) => {
    const masks = fills.map((fill) => (fill.color === color ? grey(fill.opacity) : null));
    const mask = { x, y, width, height, id: `${id}-${i}`, maskUnits: "userSpaceOnUse" };
    return (
      element("mask", mask, imageOf(box, raster, masks, grey(0))) +
      element("rect", { x, y, width, height, fill: color, mask: `url(#${id}-${i})` })
    );
  });
  return parts.join("");
}

/** Fills as red, green, blue and opacity, 0 to 255, on one ground. */
function inColors(fills: readonly Fill[], theme: Theme): number[][] {
  const named = new Map(colorsOf(theme).map(([name, color]) => [`var(--${name})`, color]));
  return fills.map(({ color, opacity }) => {
    const written = named.get(color) ?? color;
    return [...[1, 3, 5].map((at) => Number.parseInt(written.slice(at, at + 2), 16)), Math.round(opacity * 255)];
  });
}

function grey(level: number): number[] {
  const g = Math.round(level * 255);
  return [g, g, g, 255];
}

function boxOf(marks: readonly Mark[]): Box {
  let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
  for (const mark of marks) {
    left = Math.min(left, mark.x);
    top = Math.min(top, mark.y);
    right = Math.max(right, mark.x + mark.width);
    bottom = Math.max(bottom, mark.y + mark.height);
  }
  const [x, y] = [Math.floor(left), Math.floor(top)];
  return { x, y, width: Math.ceil(right) - x, height: Math.ceil(bottom) - y };
}

function rasterOf(marks: readonly Mark[], box: Box): Raster {
  const [width, height] = [box.width * SCALE, box.height * SCALE];
  const pixels = new Uint8Array(width * height);
  for (const mark of marks) {
    const x0 = Math.round((mark.x - box.x) * SCALE);
    const x1 = Math.round((mark.x + mark.width - box.x) * SCALE);
    const y0 = Math.round((mark.y - box.y) * SCALE);
    const y1 = Math.round((mark.y + mark.height - box.y) * SCALE);
    for (let y = y0; y < y1; y++) pixels.fill(mark.fill + 1, y * width + x0, y * width + x1);
  }
  return { width, height, pixels };
}

/** @param style what the image has beside sharp pixels */
function imageOf(box: Box, raster: Raster, colors: readonly (number[] | null)[], ground: number[], style = ""): string {
  // What has no colour here is the ground itself: one number for all of it keeps the image small.
  const codes = [0, ...colors.map((color, i) => (color === null ? 0 : i + 1))];
  const pixels = raster.pixels.map((code) => codes[code]!);
  const palette = [ground, ...colors.map((color) => color ?? ground)];
  const png = encodePng(raster.width, raster.height, pixels, palette);
  return element("image", {
    x: box.x,
    y: box.y,
    width: box.width,
    height: box.height,
    preserveAspectRatio: "none",
    // Sharp in browsers, which know the first, and in the rasteriser, which knows the second.
    style: `image-rendering:pixelated;image-rendering:optimizeSpeed${style}`,
    href: `data:image/png;base64,${Buffer.from(png).toString("base64")}`,
  });
}
