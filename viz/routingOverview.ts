import { cellShape } from "./cell.ts";
import { hasExpertColors, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { count } from "./format.ts";
import { MARGIN, WIDTH } from "./frame.ts";
import {
  GRID_LEFT,
  type GridNumbers,
  type GridStyle,
  gridFill,
  gridFills,
  LABEL_WIDTH,
  labelHeight,
  rowLabels,
} from "./gridCells.ts";
import { detailFrames, gridDetail } from "./gridDetail.ts";
import { drawMarks, drawRaster } from "./marks.ts";
import { element, label } from "./svg.ts";
import type { Token } from "./tokens.ts";

/** Every choice of a long text, one pixel column a token, and a part of it enlarged. */
export interface OverviewLayout {
  /** The overview; its cells are one token and layer, and in them the chosen experts stand one above the other. */
  bands: Block[];
  /** The part enlarged; its rows are numbered from −n_layers, so that arrow keys lead down to it. */
  detail: Block;
  style: GridStyle;
  /** Height of one choice in the overview, in pixels. */
  slot: number;
  height: number;
}

/** Slices and squares that the enlarged part may hold: it is drawn anew whenever it moves. */
const MOST_ENLARGED = 3200;

/** Marks of the enlarged part up to which it is drawn as outlines: the overview takes the room that more would need. */
const MOST_OUTLINED = 1000;

/** Layers up to which the enlarged cells are large. */
const MOST_TALL = 12;

/** Height of a band in pixels, where its choices have room. */
const BAND = 160;

/** Where everything stands. @param full weight that fills a cell @param top where the overview starts, in pixels */
export function layOutOverview(numbers: GridNumbers, nTokens: number, full: number, top: number): OverviewLayout {
  const { layers, nExperts, topK } = numbers;
  const room = WIDTH - GRID_LEFT - MARGIN;
  const width = Math.max(1, Math.min(4, Math.floor((2 * room) / nTokens)));
  const slot = Math.max(1, Math.min(4, Math.floor(BAND / (layers.length * topK))));
  const height = topK * slot + 1;
  const across = Math.ceil(nTokens / Math.ceil(nTokens / Math.floor(room / width)));
  const bands: Block[] = [];
  let y = top + 18;
  for (let column = 0; column < nTokens; column += across, y += layers.length * height + 22) {
    const columns = Math.min(across, nTokens - column);
    bands.push({ x: GRID_LEFT, y, width, height, columns, rows: layers.length, column, row: 0, upwards: true });
  }
  const compact = layers.length > MOST_TALL;
  const shape = cellShape(nExperts, hasExpertColors(nExperts), compact);
  const fitting = Math.min(Math.floor(room / shape.width), Math.floor(MOST_ENLARGED / (layers.length * topK)));
  const detail: Block = {
    x: GRID_LEFT,
    y: y + 20,
    width: shape.width,
    height: shape.height,
    columns: Math.max(1, fitting),
    rows: layers.length,
    column: 0,
    row: -layers.length,
    upwards: true,
  };
  const bottom = detail.y + layers.length * shape.height + labelHeight(LABEL_WIDTH, compact) + 12;
  return { bands, detail, style: { shape, full, compact }, slot, height: bottom };
}

/** Draws overview, enlarged part and the frame that says which part that is. @param start position of the first token */
export function drawOverview(
  numbers: GridNumbers,
  { bands, detail, style, slot }: OverviewLayout,
  tokens: readonly Token[],
  start: number,
): string[] {
  const fills = gridFills(numbers.nExperts);
  const says = `every choice of ${count(tokens.length)} tokens: a column is a token, in each layer a row is a rank, first expert on top`;
  return [
    label(GRID_LEFT, bands[0]!.y - 8, says, { fill: themed("muted") }),
    ...bands.map((band, i) => {
      const box = { x: band.x, y: band.y, width: band.columns * band.width, height: band.rows * band.height };
      const image = drawRaster(`overview${i}`, box, rasterOf(band, numbers, slot), fills);
      return element("g", { class: "marks" }, image) + rowLabels(band, numbers.layers) + positionLabels(band, start);
    }),
    element("g", { class: "frame" }, detailFrames(bands, detail)),
    element(
      "g",
      { class: "detail" },
      gridDetail(detail, numbers, style, tokens, start, (marks, colors) =>
        drawMarks("detail", marks, colors, marks.length > MOST_OUTLINED),
      ),
    ),
  ];
}

/** One pixel a token across, and down what the band is high: ranks in each layer, and a line between layers. */
function rasterOf(
  { columns, rows, column, height: layer }: Block,
  numbers: GridNumbers,
  slot: number,
): { width: number; height: number; pixels: Uint8Array } {
  const { topK, indices, weights } = numbers;
  const height = rows * layer;
  const pixels = new Uint8Array(columns * height);
  for (let i = 0; i < columns; i++)
    for (let row = 0; row < rows; row++) {
      const at = ((column + i) * rows + row) * topK;
      for (let k = 0; k < topK; k++) {
        const fill = gridFill(numbers, indices[at + k]!, weights?.[at + k] ?? 1 / topK);
        const top = (rows - 1 - row) * layer + k * slot;
        for (let y = top; y < top + slot; y++) pixels[y * columns + i] = fill + 1;
      }
    }
  return { width: columns, height, pixels };
}

function positionLabels({ x, y, width, height, columns, rows, column }: Block, start: number): string {
  const every = [20, 50, 100, 200].find((step) => step * width >= 60) ?? 500;
  const first = Math.ceil((start + column) / every) * every;
  const marks: string[] = [];
  for (let position = first; position < start + column + columns; position += every) {
    const at = x + (position - start - column + 0.5) * width;
    marks.push(label(at, y + rows * height + 12, count(position), { "text-anchor": "middle" }));
  }
  return element("g", { "font-size": 10, fill: themed("muted") }, ...marks);
}
