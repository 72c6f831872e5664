import { real } from "../format.ts";
import { make } from "./make.ts";

/** What is said about a cell. */
export interface Reading {
  head: string;
  lines: Line[];
}

export interface Line {
  name: string;
  value: string;
  /** Colour of the swatch before the name. */
  swatch?: string;
  strong?: boolean;
}

/**
 * Writes a reading into the tooltip, as text only: tokens are not to be trusted.
 * @param error largest error of a number that came packed; 0 where all are exact
 */
export function fillTip(tip: HTMLElement, { head, lines }: Reading, pinned: boolean, error: number): void {
  const table = make("table", "");
  for (const line of lines) {
    const row = table.insertRow();
    if (line.strong === true) row.className = "strong";
    const name = row.insertCell();
    if (line.swatch !== undefined) {
      const swatch = make("i", "");
      swatch.style.background = line.swatch;
      name.append(swatch);
    }
    name.append(line.name);
    row.insertCell().textContent = line.value;
  }
  tip.replaceChildren(make("b", "", pinned ? `${head} (kept)` : head), table);
  if (error > 0 && lines.length > 0)
    tip.append(make("div", "rounded", `rounded to ±${real(error)}; figure.data is exact`));
}

/**
 * Puts the tooltip beside a cell, inside the figure: a notebook cuts what stands out of its output.
 * @param box the stage, from whose corner the tooltip is placed
 * @param cell x, y, width and height in the picture's pixels
 */
export function placeTip(
  tip: HTMLElement,
  figure: Element,
  box: Element,
  svg: SVGSVGElement,
  cell: readonly number[],
): void {
  const [x, y, width, height] = cell as [number, number, number, number];
  const [seen, outer] = [svg.getBoundingClientRect(), box.getBoundingClientRect()];
  const scale = seen.width / svg.viewBox.baseVal.width;
  const left = seen.left - outer.left + (x + width) * scale + 8;
  const top = seen.top - outer.top + (y + height) * scale + 8;
  const lowest = figure.getBoundingClientRect().bottom - outer.top - tip.offsetHeight;
  const flipped = left + tip.offsetWidth > outer.width ? left - width * scale - tip.offsetWidth - 16 : left;
  tip.style.left = `${Math.max(0, flipped)}px`;
  tip.style.top = `${Math.max(0, Math.min(top, lowest))}px`;
}
