import { type CellShape } from "./cell.ts";
import { EXPERT_COLORS, hasExpertColors, themed } from "./colors.ts";
import type { Block, Shape } from "./contract.ts";
import { BARS, type ExplorerData, LEFT } from "./explorerData.ts";
import {
  chosenAt,
  type ExplorerBlocks,
  explorerBlocks,
  fullProbability,
  heatMarks,
  heatSigns,
  litShapes,
  slicesAt,
  weightAt,
} from "./explorerPanels.ts";
import { probability } from "./format.ts";
import { MONO, rampLegend, TOP, WIDTH } from "./frame.ts";
import { drawMarks } from "./marks.ts";
import type { Mark } from "./outlines.ts";
import { type Fill, scaleFills, scaleStep } from "./scale.ts";
import { element, label, rectPath, round } from "./svg.ts";
import { textBlocks } from "./textBlocks.ts";
import { type Token, textWidth, tokenText } from "./tokens.ts";

/** Marks of a panel up to which it is drawn as outlines. */
const MOST_OUTLINES = 1500;

/** Where the panels of an explorer stand. */
export interface ExplorerLayout extends ExplorerBlocks {
  blocks: Block[];
  height: number;
}

/** Width in em at which a token below the grid is cut. */
const LABEL = 6;

/** Rows are numbered so that arrow keys go from the text down through the layers to the experts. */
export function layOutExplorer(
  { layers, nTokens, nExperts, shape }: ExplorerData,
  tokens: readonly Token[],
): ExplorerLayout {
  const nLayers = layers.length;
  const text = textBlocks(tokens, TOP + 6, { size: 12, box: 18, line: 23 }).map(
    (block): Block => ({ ...block, x: round(block.x), width: round(block.width), row: nLayers, upwards: true }),
  );
  const own = { x: LEFT, width: shape.width, columns: nTokens, column: 0, upwards: true as const };
  const grid = {
    ...own,
    y: text.at(-1)!.y + (hasExpertColors(nExperts) ? 60 : 44),
    height: shape.height,
    rows: nLayers,
    row: 0,
  };
  const labels = Math.min(LABEL, Math.max(...tokens.map((token) => textWidth(token.string)))) * labelSize(shape) + 8;
  const row = nExperts <= 16 ? 14 : nExperts <= 32 ? 9 : nExperts <= 64 ? 6 : 4;
  const y = grid.y + nLayers * shape.height + labels + 42;
  const heat = { ...own, y, height: row, rows: nExperts, row: -nExperts };
  const x = WIDTH - 16 - BARS;
  const bars = { ...heat, x, width: BARS, columns: 1, column: nTokens };
  return {
    ...explorerBlocks([...text, grid, heat, bars]),
    blocks: [...text, grid, heat, bars],
    height: y + nExperts * row + 22,
  };
}

function labelSize({ width }: CellShape): number {
  return Math.min(10, width);
}

/** Text, grid, heatmap and load, and the kept point lit in all of them. */
export function drawExplorer(data: ExplorerData, layout: ExplorerLayout, tokens: readonly Token[]): string[] {
  const { layers, state, start, nExperts } = data;
  const row = layers.indexOf(state.layer);
  const point = { token: state.token === null ? null : state.token - start, row, expert: state.expert };
  return [
    element(
      "g",
      { "font-family": MONO, "font-size": 12 },
      ...layout.text.map(({ x, y, width }, t) => tokenText(tokens[t]!, { x: x + 2.5, y: y + 13 }, (width - 4) / 12)),
    ),
    hasExpertColors(nExperts) ? colorKey(nExperts, layout.grid) : "",
    gridMarks(data, layout.grid),
    ...gridLabels(data, layout.grid, tokens),
    ...heatPanel(data, layout.heat, row),
    element("g", { class: "signs" }, heatSigns(data, layout, row)),
    element("g", { class: "state" }, ...litShapes(data, layout, point).map(drawn)),
  ];
}

/** The layers beside the grid, and the tokens below it. */
function gridLabels({ layers, shape }: ExplorerData, grid: Block, tokens: readonly Token[]): string[] {
  const bottom = grid.y + grid.rows * grid.height;
  return [
    ...layers.map((layer, r) =>
      r % Math.ceil(12 / grid.height) === 0
        ? label(LEFT - 6, grid.y + (grid.rows - 0.5 - r) * grid.height + 3.5, `layer ${layer}`, {
            "text-anchor": "end",
            fill: themed("muted"),
            "font-size": 10,
          })
        : "",
    ),
    element(
      "g",
      { "text-anchor": "end", "font-family": MONO, "font-size": labelSize(shape), transform: "rotate(-90)" },
      ...tokens.map((token, t) => tokenText(token, { x: -bottom - 4, y: grid.x + (t + 0.5) * grid.width + 3 }, LABEL)),
    ),
  ];
}

/** The router's probabilities in one layer, with their key. */
function heatPanel(data: ExplorerData, heat: Block, row: number): string[] {
  const { nExperts, probs } = data;
  const marks = heatMarks(data, heat, row);
  const full = probs === null ? 1 : fullProbability(nExperts);
  return [
    rampLegend(LEFT, heat.y - 18, probs === null ? "weight (probabilities not recorded)" : "probability", [
      "0",
      `${full < 1 ? "≥ " : ""}${probability(full)}`,
    ]),
    element("path", {
      d: `M${LEFT + 320} ${heat.y - 13}h.01`,
      stroke: themed("accent"),
      "stroke-width": 5,
      "stroke-linecap": "round",
    }),
    label(LEFT + 328, heat.y - 9, "chosen", { fill: themed("muted") }),
    element(
      "g",
      { class: "heat", "shape-rendering": "crispEdges" },
      drawMarks("heat", marks, scaleFills(themed("value")), marks.length > MOST_OUTLINES),
    ),
    element("rect", {
      x: heat.x,
      y: heat.y,
      width: heat.columns * heat.width,
      height: nExperts * heat.height,
      fill: "none",
      stroke: themed("faint"),
    }),
    expertNumbers(data, heat),
  ];
}

function drawn({ d, fill = "none", opacity = 1, stroke, width = 1.5 }: Shape): string {
  return element("path", {
    d,
    fill,
    "fill-opacity": opacity === 1 ? null : opacity,
    stroke: stroke ?? null,
    "stroke-width": stroke === undefined ? null : width,
  });
}

function gridMarks(data: ExplorerData, grid: Block): string {
  const { nTokens, layers, topK, nExperts } = data;
  const slices = hasExpertColors(nExperts);
  const fills: Fill[] = slices ? EXPERT_COLORS.map((color) => ({ color, opacity: 1 })) : scaleFills(themed("value"));
  const marks: Mark[] = [];
  for (let t = 0; t < nTokens; t++)
    for (const [row] of layers.entries())
      for (const [slot, [x, y, width, height]] of slicesAt(data, grid, t, row).entries()) {
        const expert = chosenAt(data, t, row)[slot]!;
        const shade = 0.3 + 0.7 * Math.min(1, (weightAt(data, t, row, expert) * topK) / 2);
        if (width > 0) marks.push({ x, y, width, height, fill: slices ? expert : scaleStep(shade, 1) });
      }
  const [wide, tall] = [grid.columns * grid.width, grid.rows * grid.height];
  const down = Array.from(
    { length: grid.columns + 1 },
    (_, i) => `M${round(grid.x + i * grid.width)} ${grid.y}v${tall}`,
  );
  const across = Array.from({ length: grid.rows + 1 }, (_, i) => `M${grid.x} ${grid.y + i * grid.height}h${wide}`);
  return (
    element("path", { d: rectPath(grid.x, grid.y, wide, tall), fill: themed("well") }) +
    element("path", { d: [...down, ...across].join(""), stroke: themed("paper"), "stroke-width": 1.5 }) +
    element(
      "g",
      { class: "marks", "shape-rendering": "crispEdges" },
      drawMarks("grid", marks, fills, marks.length > MOST_OUTLINES),
    )
  );
}

function colorKey(nExperts: number, { y }: Block): string {
  const swatches = EXPERT_COLORS.slice(0, nExperts).map((color, expert) => {
    const x = LEFT + 46 + expert * 40;
    return (
      element("rect", { x, y: y - 21, width: 12, height: 12, rx: 2, fill: color }) +
      label(x + 16, y - 11, String(expert))
    );
  });
  return label(LEFT, y - 11, "expert", { fill: themed("muted") }) + swatches.join("");
}

function expertNumbers({ nExperts, colors }: ExplorerData, { x, y, height }: Block): string {
  const every = [1, 2, 4, 8, 16].find((step) => step * height >= 11) ?? 32;
  const each = Array.from({ length: nExperts }, (_, e) => {
    const down = y + (e + 0.5) * height;
    const swatch =
      colors === null ? "" : element("rect", { x: x - 10, y: down - 4, width: 4, height: 8, fill: colors[e]! });
    return swatch + (e % every === 0 ? label(x - 14, down + 3.5, String(e), { "text-anchor": "end" }) : "");
  });
  return element("g", { "font-size": 10, fill: themed("muted") }, ...each);
}
