import { inflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { EXPERT_COLORS, EXPERT_PALETTES } from "../../viz/colors.ts";
import { routingGrid } from "../../viz/routingGrid.ts";
import { htmlOf, open, point, tip } from "./page.ts";
import { largeTrace } from "./samples.ts";

/** 2,000 tokens in 2 layers, too long for cells: three bands of one pixel a token. */
const LONG = largeTrace(2000, 16, 4, 2);

/** Chosen experts of a token in a layer, best first. */
function chosen(token: number, row: number): number[] {
  return [...LONG.expertIndices.subarray((token * 2 + row) * 4, (token * 2 + row) * 4 + 4)];
}

/** The pixels of the first image of a picture, as numbers of its palette, and the palette. */
function pixelsOf(svg: string): { width: number; height: number; pixels: Buffer; palette: string[] } {
  const png = Buffer.from(/data:image\/png;base64,([^"]+)/.exec(svg)![1]!, "base64");
  const chunk = (type: string): Buffer => {
    const at = png.indexOf(type, 8, "latin1");
    return png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4));
  };
  const [width, height] = [png.readUInt32BE(16), png.readUInt32BE(20)];
  const lines = inflateSync(chunk("IDAT"));
  const pixels = Buffer.concat(
    Array.from({ length: height }, (_, y) => lines.subarray(y * (width + 1) + 1, (y + 1) * (width + 1))),
  );
  const palette = chunk("PLTE").toString("hex").match(/.{6}/g)!;
  return { width, height, pixels, palette };
}

describe("the overview of a long text", () => {
  test("shows every choice in its expert's colour, rank under rank, layers rising", () => {
    const { width, height, pixels, palette } = pixelsOf(routingGrid(LONG).svg);
    // Two layers of four ranks, four pixels each, and a line of nothing after each layer.
    expect([width, height]).toEqual([667, 34]);
    for (const token of [0, 1, 333, 666])
      for (const row of [0, 1])
        for (const rank of [0, 1, 2, 3]) {
          const y = (1 - row) * 17 + rank * 4 + 2;
          expect(`#${palette[pixels[y * width + token]!]}`).toBe(EXPERT_PALETTES.light[chosen(token, row)[rank]!]);
        }
    expect(pixels[16 * width + 5]).toBe(0);
  });

  test("says in words how it is to be read, and what stands enlarged", () => {
    const { svg } = routingGrid(LONG, { start: 100 });
    expect(svg).toContain("every choice of 1,900 tokens: a column is a token, in each layer a row is a rank");
    expect(svg).toContain("tokens 100–121, enlarged");
    expect(svg).toContain("tokens 100–1,999 of 2,000, 2 layers");
  });

  test("says when it is too large for a notebook that is committed", () => {
    const sentence = "It holds 128,000 choices, more than suit a notebook that is committed: save it as a page.";
    const figure = routingGrid(largeTrace(2000, 16, 4, 16), { large: true });
    expect(htmlOf(figure)).toContain(sentence);
    expect(htmlOf(routingGrid(LONG))).not.toContain("more than suit");
  });
});

describe("in a browser, the overview", () => {
  test("answers to a pointer with the very choice, and lights that expert in its layer", async () => {
    const { page, faults } = await open(htmlOf(routingGrid(LONG)));
    // The first band starts at 70, 110; its upper layer is layer 1, and rank 1 is the second row of 4 pixels.
    await point(page, 70.5 + 400, 110 + 6);
    const expert = chosen(400, 1)[1]!;
    const uses = Array.from({ length: 2000 }, (_, t) => chosen(t, 1)).filter((e) => e.includes(expert)).length;
    expect(await tip(page)).toMatch(/^400 “/);
    expect(await tip(page)).toContain(`tokens on expert ${expert} in this layer ${uses} of 2000`);
    const lit = (await page.locator("figure .lit path").first().getAttribute("d"))!;
    // Runs of neighbours, of this layer alone: its rows of the first band lie between 110 and 126.
    const rows = [...lit.matchAll(/M[\d.]+ ([\d.]+)h/g)].map((match) => Number(match[1]));
    expect(rows.filter((y) => y < 144).every((y) => y >= 110 && y < 126)).toBe(true);
    expect(await page.locator("figure .lit path").first().getAttribute("fill")).toBe(EXPERT_COLORS[expert]);
    expect(faults).toEqual([]);
  });

  test("enlarges the part that a click asks for, with the weights of its cells", async () => {
    const { page, faults } = await open(htmlOf(routingGrid(LONG)));
    await point(page, 70.5 + 400, 110 + 2);
    await page.mouse.down();
    await page.mouse.up();
    expect(await page.locator("figure .detail").textContent()).toContain("tokens 389–410, enlarged");
    const frame = (await page.locator("figure .frame path").getAttribute("d"))!;
    expect(frame).toMatch(/^M458 /);
    await page.keyboard.press("Escape");
    // The first cell of the enlarged part is token 389 in layer 1: the first slice says its first expert.
    const detail = (await page.locator("figure .detail > rect").boundingBox())!;
    await page.mouse.move(detail.x + 3, detail.y + 5);
    const at = (389 * 2 + 1) * 4;
    const weight = LONG.expertWeights![at]!;
    const told = Number(new RegExp(`expert ${LONG.expertIndices[at]} ([\\d.]+)`).exec((await tip(page))!)![1]);
    expect(await tip(page)).toMatch(/^389 “/);
    expect(Math.abs(told - weight)).toBeLessThan(0.003);
    expect(faults).toEqual([]);
  });

  test("leads from its last layer down to the enlarged part by the arrow key", async () => {
    const { page } = await open(htmlOf(routingGrid(LONG)));
    await page.locator("figure .picture").focus();
    await page.keyboard.press("ArrowDown");
    expect(await tip(page)).toContain("layer 0");
    await page.keyboard.press("ArrowDown");
    expect(await tip(page)).toContain("layer 1");
    await page.keyboard.press("ArrowDown");
    expect(await tip(page)).toContain("layer 0");
  });
});
