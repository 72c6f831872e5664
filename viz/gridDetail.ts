import { hasExpertColors, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { count } from "./format.ts";
import {
  cellMarks,
  firstExperts,
  type GridNumbers,
  type GridStyle,
  gridFills,
  placedCells,
  rowLabels,
  tokenLabels,
  wells,
} from "./gridCells.ts";
import type { Mark } from "./outlines.ts";
import type { Fill } from "./scale.ts";
import { element, label, rectPath } from "./svg.ts";
import type { Token } from "./tokens.ts";

/**
 * The part of a long text that stands enlarged below its overview; the browser's script draws it again when it moves.
 * @param start position of the text's first token in its sequence
 * @param drawn how marks are drawn: outlines, or an image
 */
export function gridDetail(
  detail: Block,
  numbers: GridNumbers,
  style: GridStyle,
  tokens: readonly Token[],
  start: number,
  drawn: (marks: readonly Mark[], fills: readonly Fill[]) => string,
): string {
  const cells = placedCells(detail, numbers, style);
  const first = start + detail.column;
  const heading = `tokens ${count(first)}–${count(first + detail.columns - 1)}, enlarged`;
  return [
    label(detail.x, detail.y - 7, heading, { "font-weight": "bold" }),
    wells(detail),
    element(
      "g",
      { class: "marks" },
      drawn(cellMarks(cells, numbers), gridFills(numbers.nExperts)),
      hasExpertColors(numbers.nExperts) && !style.compact ? firstExperts(cells) : "",
    ),
    rowLabels(detail, numbers.layers),
    tokenLabels(detail, style.compact, tokens),
  ].join("");
}

/** Frames in the overview that say which tokens stand enlarged: one in each band that they touch. */
export function detailFrames(bands: readonly Block[], detail: Block): string {
  const end = detail.column + detail.columns;
  const frames = bands.map((band) => {
    const left = Math.max(detail.column, band.column);
    const right = Math.min(end, band.column + band.columns);
    if (left >= right) return "";
    const x = band.x + (left - band.column) * band.width;
    return rectPath(x - 1, band.y - 2, (right - left) * band.width + 2, band.rows * band.height + 3);
  });
  return element("path", { d: frames.join(""), fill: "none", stroke: themed("ink"), "stroke-width": 1.5 });
}
