import { crc32, deflateSync } from "node:zlib";

function chunk(type: string, content: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), content]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(content.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), body.length + 4);
  return out;
}

/**
 * Writes an indexed PNG.
 * @param pixels palette index of each pixel: [height, width]
 * @param palette up to 256 colours as [red, green, blue, alpha], 0 to 255
 * @see W3C PNG, chunks IHDR (colour type 3), PLTE, tRNS, IDAT (filter 0), IEND
 */
export function encodePng(width: number, height: number, pixels: Uint8Array, palette: readonly number[][]): Uint8Array {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 3, 0, 0, 0], 8);
  const lines = Buffer.alloc(height * (width + 1));
  for (let y = 0; y < height; y++) lines.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  return Buffer.concat([
    Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]),
    chunk("IHDR", header),
    chunk("PLTE", Uint8Array.from(palette.flatMap((color) => color.slice(0, 3)))),
    chunk("tRNS", Uint8Array.from(palette.map((color) => color[3]!))),
    chunk("IDAT", deflateSync(lines, { level: 9 })),
    chunk("IEND", new Uint8Array(0)),
  ]);
}

/**
 * Reduces an opaque picture to few colours, each other colour taking the nearest of them: half are the most frequent, so
 * that flat colours and text keep their look, half those that the others miss by most, so that no hue is lost.
 * @param pixels red, green, blue, alpha: [height, width, 4]
 * @param most colours kept, up to 256
 */
export function reduceColors(pixels: Uint8Array, most = 256): { indices: Uint8Array; palette: number[][] } {
  const colors = new Uint32Array(pixels.length / 4);
  const uses = new Map<number, number>();
  for (let i = 0; i < colors.length; i++) {
    const color = (pixels[4 * i]! << 16) | (pixels[4 * i + 1]! << 8) | pixels[4 * i + 2]!;
    colors[i] = color;
    uses.set(color, (uses.get(color) ?? 0) + 1);
  }
  const byUse = [...uses].sort((a, b) => b[1] - a[1]).map(([color]) => color);
  const kept = byUse.length <= most ? byUse : spread(byUse, most);
  const palette = kept.map((color) => [...channels(color), 255]);
  const place = new Map(byUse.map((color) => [color, nearest(color, kept)]));
  return { indices: Uint8Array.from(colors, (color) => place.get(color)!), palette };
}

/** The first half of the colours to keep, and then one by one the colour furthest from all that are kept. */
function spread(byUse: readonly number[], most: number): number[] {
  const kept = byUse.slice(0, Math.ceil(most / 2));
  const gaps = byUse.map((color) => distance(color, kept[nearest(color, kept)]!));
  while (kept.length < most) {
    const next = byUse[gaps.indexOf(gaps.reduce((a, b) => Math.max(a, b)))]!;
    kept.push(next);
    for (const [i, color] of byUse.entries()) gaps[i] = Math.min(gaps[i]!, distance(color, next));
  }
  return kept;
}

function channels(color: number): [number, number, number] {
  return [color >> 16, (color >> 8) & 255, color & 255];
}

function distance(a: number, b: number): number {
  const [[r, g, b1], [r2, g2, b2]] = [channels(a), channels(b)];
  return (r - r2) ** 2 + (g - g2) ** 2 + (b1 - b2) ** 2;
}

function nearest(color: number, palette: readonly number[]): number {
  let best = 0;
  let least = Infinity;
  for (const [i, other] of palette.entries()) {
    const far = distance(color, other);
    if (far < least) [best, least] = [i, far];
  }
  return best;
}
