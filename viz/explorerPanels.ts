import { type CellShape, cellRects } from "./cell.ts";
import { themed } from "./colors.ts";
import type { Block, Shape } from "./contract.ts";
import { count, percent } from "./format.ts";
import type { Mark } from "./outlines.ts";
import { scaleStep } from "./scale.ts";
import { element, label, rectPath, round } from "./svg.ts";

/** What the panels of an explorer draw, in the static picture and in the browser alike. */
export interface ExplorerNumbers {
  layers: readonly number[];
  nExperts: number;
  topK: number;
  nTokens: number;
  /** [n_tokens, n_layers, top_k] */
  indices: ArrayLike<number>;
  weights: ArrayLike<number> | null;
  /** Router probabilities, or null where they were not recorded: [n_tokens, n_layers, n_experts]. */
  probs: ArrayLike<number> | null;
  /** Share of assignments over the whole trace: [n_layers, n_experts]; and the bounds of 95 % of uniform shares. */
  load: ArrayLike<number>;
  low: number;
  high: number;
  nLoad: number;
  /** Weight that a full cell of the grid stands for. */
  full: number;
  shape: CellShape;
  /** One colour an expert, or null where position says which. */
  colors: readonly string[] | null;
}

/** Where the panels stand: a block for each token of the text, then the grid, the heatmap and the load. */
export interface ExplorerBlocks {
  text: readonly Block[];
  grid: Block;
  heat: Block;
  bars: Block;
}

/** Blocks in the order in which a figure keeps them. */
export function explorerBlocks(blocks: readonly Block[]): ExplorerBlocks {
  const [grid, heat, bars] = blocks.slice(-3) as [Block, Block, Block];
  return { text: blocks.slice(0, -3), grid, heat, bars };
}

/** What is pointed at: a token or none, a layer, and an expert or none. */
export interface ExplorerPoint {
  token: number | null;
  /** Row of the layer. */
  row: number;
  expert: number | null;
}

/** Probability in full colour: eight times uniform, as in the router heatmap. */
export function fullProbability(nExperts: number): number {
  return Math.min(1, 8 / nExperts);
}

export function chosenAt({ indices, layers, topK }: ExplorerNumbers, token: number, row: number): number[] {
  const at = (token * layers.length + row) * topK;
  return Array.from({ length: topK }, (_, k) => indices[at + k]!);
}

/** Weight of an expert on a token, 0 where it was not chosen; equal weights where none were recorded. */
export function weightAt(numbers: ExplorerNumbers, token: number, row: number, expert: number): number {
  const { weights, layers, topK } = numbers;
  const slot = chosenAt(numbers, token, row).indexOf(expert);
  if (slot < 0) return 0;
  return weights === null ? 1 / topK : weights[(token * layers.length + row) * topK + slot]!;
}

/** Places of a token's chosen experts in the grid, slot by slot. */
export function slicesAt(
  numbers: ExplorerNumbers,
  grid: Block,
  token: number,
  row: number,
): [number, number, number, number][] {
  const chosen = chosenAt(numbers, token, row);
  const fractions = chosen.map((e) => weightAt(numbers, token, row, e) / numbers.full);
  const [left, top] = [grid.x + token * grid.width, grid.y + (grid.rows - 1 - row) * grid.height];
  return cellRects(numbers.shape, chosen, fractions).map(([x, y, width, height]) => [left + x, top + y, width, height]);
}

/** The heatmap's cells in one layer: probabilities, or weights where only those were recorded. */
export function heatMarks(numbers: ExplorerNumbers, { x, y, width, height }: Block, row: number): Mark[] {
  const { nTokens, nExperts, probs, layers } = numbers;
  const full = probs === null ? 1 : fullProbability(nExperts);
  return Array.from({ length: nTokens * nExperts }, (_, i) => {
    const [token, expert] = [Math.floor(i / nExperts), i % nExperts];
    const value =
      probs === null
        ? weightAt(numbers, token, row, expert)
        : probs[(token * layers.length + row) * nExperts + expert]!;
    return { x: x + token * width, y: y + expert * height, width, height, fill: scaleStep(value, full) };
  });
}

/** What stands over the heatmap's cells and beside them in one layer: dots of the chosen, and the load. */
export function heatSigns(numbers: ExplorerNumbers, { heat, bars }: ExplorerBlocks, row: number): string {
  const { nTokens, nExperts, layers, load, low, high, nLoad } = numbers;
  const dots = Array.from({ length: nTokens }, (_, t) =>
    chosenAt(numbers, t, row).map(
      (e) => `M${round(heat.x + (t + 0.5) * heat.width)} ${round(heat.y + (e + 0.5) * heat.height)}h.01`,
    ),
  );
  const shares = Array.from({ length: nExperts }, (_, e) => load[row * nExperts + e]!);
  const most = Math.max(high, ...Array.from(load));
  const wide = (share: number): number => (share / most) * bars.width;
  const rects = shares.map((s, e) => rectPath(bars.x, bars.y + (e + 0.15) * bars.height, wide(s), bars.height * 0.7));
  const tall = nExperts * bars.height;
  const muted = { fill: themed("muted"), "font-size": 10 };
  return [
    element("path", {
      d: dots.flat().join(""),
      stroke: themed("accent"),
      "stroke-width": round(Math.max(1.6, Math.min(4.5, heat.width * 0.5, heat.height * 0.5))),
      "stroke-linecap": "round",
    }),
    label(heat.x - 6, heat.y - 6, `layer ${layers[row]}`, { "text-anchor": "end", "font-weight": "bold" }),
    label(bars.x, bars.y - 17, `load of layer ${layers[row]}`, { "font-weight": "bold" }),
    label(bars.x, bars.y - 6, `${count(nLoad)} tokens, 0–${percent(most)}`, muted),
    element("path", { d: rectPath(bars.x + wide(low), bars.y, wide(high) - wide(low), tall), fill: themed("well") }),
    element("path", { d: rects.join(""), fill: themed("value"), "fill-opacity": 0.6 }),
    element("path", {
      d: `M${round(bars.x + wide(1 / nExperts))} ${bars.y}v${tall}`,
      stroke: themed("ink"),
      "stroke-dasharray": "3 2",
    }),
  ].join("");
}

/** What is lit for a point: the expert in its layer, in every panel, and the token's path through all layers. */
export function litShapes(
  numbers: ExplorerNumbers,
  blocks: ExplorerBlocks,
  { token, row, expert }: ExplorerPoint,
): Shape[] {
  const { nTokens, layers, colors } = numbers;
  const { text, grid, heat, bars } = blocks;
  const shapes: Shape[] = [];
  const colorOf = (e: number): string => colors?.[e] ?? "var(--accent)";
  if (expert !== null) {
    let slices = "";
    for (let t = 0; t < nTokens; t++) {
      const slot = chosenAt(numbers, t, row).indexOf(expert);
      if (slot < 0) continue;
      slices += rectPath(...slicesAt(numbers, grid, t, row)[slot]!);
      const { x, y, width, height } = text[t]!;
      const weight = weightAt(numbers, t, row, expert);
      shapes.push({
        d: rectPath(x, y, width, height),
        fill: colorOf(expert),
        opacity: 0.15 + 0.5 * Math.min(1, weight),
      });
    }
    shapes.push({ d: slices, fill: colorOf(expert) });
    shapes.push({
      d: rectPath(heat.x, heat.y + expert * heat.height, heat.columns * heat.width, heat.height),
      stroke: "var(--muted)",
    });
    shapes.push({
      d: rectPath(bars.x, bars.y + expert * bars.height, bars.width, bars.height),
      stroke: "var(--muted)",
    });
  }
  if (token !== null) {
    for (const [r] of layers.entries())
      for (const [slot, rect] of slicesAt(numbers, grid, token, r).entries())
        shapes.push({ d: rectPath(...rect), fill: colorOf(chosenAt(numbers, token, r)[slot]!) });
    for (const { x, y, width, height, rows } of [grid, heat])
      shapes.push({ d: rectPath(x + token * width, y, width, rows * height), stroke: "var(--muted)" });
    const { x, y, width, height } = text[token]!;
    shapes.push({ d: rectPath(x, y, width, height), stroke: "var(--ink)" });
  }
  const top = grid.y + (grid.rows - 1 - row) * grid.height;
  shapes.push({ d: rectPath(grid.x, top, grid.columns * grid.width, grid.height), stroke: "var(--muted)" });
  return shapes;
}
