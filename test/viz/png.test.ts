import { inflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { encodePng, reduceColors } from "../../viz/png.ts";

/** The chunks of a PNG by type. */
function chunksOf(png: Uint8Array): Map<string, Buffer> {
  const bytes = Buffer.from(png);
  const chunks = new Map<string, Buffer>();
  for (let at = 8; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at);
    chunks.set(bytes.toString("latin1", at + 4, at + 8), bytes.subarray(at + 8, at + 8 + length));
    at += length + 12;
  }
  return chunks;
}

describe("encodePng", () => {
  const png = encodePng(3, 2, Uint8Array.from([0, 1, 0, 1, 1, 0]), [
    [255, 0, 0, 255],
    [0, 0, 255, 128],
  ]);

  test("starts as the standard says and ends with the known empty chunk", () => {
    expect([...png.subarray(0, 8)]).toEqual([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
    // Length 0, IEND, and its checksum, which is the same in every PNG.
    expect([...png.subarray(-12)]).toEqual([0, 0, 0, 0, 0x49, 0x45, 0x4e, 0x44, 0xae, 0x42, 0x60, 0x82]);
  });

  test("holds size, palette, transparency and rows", () => {
    const chunks = chunksOf(png);
    expect([...chunks.get("IHDR")!]).toEqual([0, 0, 0, 3, 0, 0, 0, 2, 8, 3, 0, 0, 0]);
    expect([...chunks.get("PLTE")!]).toEqual([255, 0, 0, 0, 0, 255]);
    expect([...chunks.get("tRNS")!]).toEqual([255, 128]);
    expect([...inflateSync(chunks.get("IDAT")!)]).toEqual([0, 0, 1, 0, 0, 1, 1, 0]);
  });
});

describe("reduceColors", () => {
  test("keeps up to 256 colours exactly", () => {
    const pixels = Uint8Array.from({ length: 256 * 4 }, (_, i) =>
      i % 4 === 3 ? 255 : i % 4 === 0 ? Math.floor(i / 4) : 7,
    );
    const { indices, palette } = reduceColors(pixels);
    for (let i = 0; i < 256; i++) expect(palette[indices[i]!]).toEqual([i, 7, 7, 255]);
  });

  test("keeps the frequent colours and the hue that they miss by most; a near one takes its nearest", () => {
    const uses: [count: number, ...color: number[]][] = [
      [100, 0, 0, 0],
      [90, 255, 255, 255],
      [2, 10, 0, 0],
      [1, 0, 0, 255],
    ];
    const pixels = uses.flatMap(([n, ...color]) => Array.from({ length: n }, () => [...color, 255]).flat());
    const { indices, palette } = reduceColors(Uint8Array.from(pixels), 3);
    expect(palette).toEqual([
      [0, 0, 0, 255],
      [255, 255, 255, 255],
      [0, 0, 255, 255],
    ]);
    expect([...indices.subarray(-3)]).toEqual([0, 0, 2]);
  });
});
