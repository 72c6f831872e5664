import { type CellShape, cellRects, type Rect } from "./cell.ts";
import { EXPERT_COLORS, hasExpertColors, inkOn, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { MONO } from "./frame.ts";
import type { Mark } from "./outlines.ts";
import { type Fill, scaleFills, scaleStep } from "./scale.ts";
import { element, label } from "./svg.ts";
import { type Token, textWidth, tokenText } from "./tokens.ts";

/** Chosen experts of the tokens of a grid. No DOM, no Node: the browser's script draws them too. */
export interface GridNumbers {
  layers: readonly number[];
  nExperts: number;
  topK: number;
  /** [n_tokens, n_layers, top_k] */
  indices: ArrayLike<number>;
  /** Likewise, or null where not recorded. */
  weights: ArrayLike<number> | null;
}

/** How the cells of a grid look. */
export interface GridStyle {
  shape: CellShape;
  /** Weight that fills a cell: the largest sum of a cell's weights, at least 1. */
  full: number;
  /** For many cells: small, and without numbers. */
  compact: boolean;
}

/** Where grids start, right of the names of their layers, in pixels. */
export const GRID_LEFT = 70;

/** Opacity of a chosen expert with no weight in a map; twice the equal weight and more is opaque. */
export const FAINTEST = 0.25;

/** Width in em at which a token below a grid is cut. */
export const LABEL_WIDTH = 6.2;

/** Weight from which an expert of a map is opaque. */
export function fullWeight(topK: number): number {
  return Math.min(1, 2 / topK);
}

/** The fills of {@link gridFill}. */
export function gridFills(nExperts: number): Fill[] {
  if (hasExpertColors(nExperts)) return EXPERT_COLORS.map((color) => ({ color, opacity: 1 }));
  return scaleFills(themed("value"));
}

/** Which fill a chosen expert has: its colour, or beyond 16 experts the shade of its weight. */
export function gridFill({ nExperts, topK }: GridNumbers, expert: number, weight: number): number {
  if (hasExpertColors(nExperts)) return expert;
  return scaleStep(FAINTEST + ((1 - FAINTEST) * weight) / fullWeight(topK), 1);
}

/** A cell's experts and where they stand in the picture. */
export interface PlacedCell {
  experts: number[];
  weights: number[];
  rects: Rect[];
}

/** A block's cell of a token (by its number in the window) and a layer (by its row among those traced). */
export function placedCell(
  block: Block,
  token: number,
  row: number,
  numbers: GridNumbers,
  style: GridStyle,
): PlacedCell {
  const { topK, layers, indices, weights: recorded } = numbers;
  const at = (token * layers.length + row) * topK;
  const experts = Array.from({ length: topK }, (_, k) => indices[at + k]!);
  const weights = experts.map((_expert, k) => recorded?.[at + k] ?? 1 / topK);
  const left = block.x + (token - block.column) * block.width;
  const top = block.y + (block.rows - 1 - row) * block.height;
  const fractions = weights.map((weight) => weight / style.full);
  const rects = cellRects(style.shape, experts, fractions);
  return { experts, weights, rects: rects.map(([x, y, width, height]): Rect => [left + x, top + y, width, height]) };
}

/** All cells of a block, token by token. */
export function placedCells(block: Block, numbers: GridNumbers, style: GridStyle): PlacedCell[] {
  return Array.from({ length: block.columns * block.rows }, (_, i) => {
    const token = block.column + Math.floor(i / block.rows);
    return placedCell(block, token, i % block.rows, numbers, style);
  });
}

/** The marks of cells; a weight that is not positive has none. */
export function cellMarks(cells: readonly PlacedCell[], numbers: GridNumbers): Mark[] {
  return cells.flatMap(({ experts, weights, rects }) =>
    rects
      .map(([x, y, width, height], k): Mark => {
        return { x, y, width, height, fill: gridFill(numbers, experts[k]!, weights[k]!) };
      })
      .filter(({ width }) => width > 0),
  );
}

/** The number of each cell's first expert, where its slice is wide enough. */
export function firstExperts(cells: readonly PlacedCell[]): string {
  const numbers = cells.map(({ experts, rects }) => {
    const [expert, [x, y, width]] = [experts[0]!, rects[0]!];
    const number = String(expert);
    if (width < number.length * 6.4 + 1) return "";
    return label(x + width / 2, y + 12.8, number, { fill: inkOn(expert) });
  });
  return element("g", { "font-size": 10, "text-anchor": "middle" }, ...numbers);
}

/** The empty cells: a ground with lines of paper between columns and rows. */
export function wells({ x, y, width, height, columns, rows }: Block): string {
  const down = Array.from({ length: columns + 1 }, (_, i) => `M${x + i * width} ${y}v${rows * height}`);
  const across = Array.from({ length: rows + 1 }, (_, i) => `M${x} ${y + i * height}h${columns * width}`);
  return (
    element("rect", { x, y, width: columns * width, height: rows * height, fill: themed("well") }) +
    element("path", { d: [...down, ...across].join(""), stroke: themed("paper"), "stroke-width": 2 })
  );
}

/** The layers beside a block, as many as there is room for. */
export function rowLabels({ x, y, height, rows }: Block, layers: readonly number[]): string {
  const every = Math.ceil(14 / height);
  const labels = layers.map((layer, row) =>
    row % every === 0 ? label(x - 6, y + (rows - 1 - row) * height + height / 2 + 4, `layer ${layer}`) : "",
  );
  return element("g", { "text-anchor": "end", fill: themed("muted") }, ...labels);
}

/** Height of the tokens below a block: slanted by 45°, or upright in the compact form. */
export function labelHeight(widest: number, compact: boolean): number {
  const cut = Math.min(LABEL_WIDTH, widest);
  return compact ? cut * 10 + 8 : cut * 10.5 * Math.SQRT1_2 + 14;
}

/** The widest of some tokens in em. */
export function widestOf(tokens: readonly Token[]): number {
  return Math.max(...tokens.map((token) => textWidth(token.string)));
}

/** The tokens below a block. */
export function tokenLabels(block: Block, compact: boolean, tokens: readonly Token[]): string {
  const y = block.y + block.rows * block.height;
  const labels = Array.from({ length: block.columns }, (_, i) => {
    const token = tokens[block.column + i]!;
    const x = block.x + (i + 0.5) * block.width;
    if (compact) return tokenText(token, { x: -y - 4, y: x + 3 }, LABEL_WIDTH);
    return tokenText(token, { transform: `translate(${x + 4} ${y + 10})rotate(-45)` }, LABEL_WIDTH);
  });
  const turned = { "font-size": compact ? 10 : 10.5, transform: compact ? "rotate(-90)" : null };
  return element("g", { "text-anchor": "end", "font-family": MONO, ...turned }, ...labels);
}
