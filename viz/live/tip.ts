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
 * Measures where a tooltip may stand, and gives what puts it beside a cell, inside the figure: a notebook cuts what stands out
 * of its output. Only the tooltip's own size is measured then.
 * @param box the stage, from whose corner the tooltip is placed
 * @returns takes x, y, width and height of the cell in the picture's pixels
 */
export function placeTip(
  tip: HTMLElement,
  figure: Element,
  box: Element,
  svg: SVGSVGElement,
): (cell: readonly [number, number, number, number]) => void {
  const [seen, outer] = [svg.getBoundingClientRect(), box.getBoundingClientRect()];
  const bottom = figure.getBoundingClientRect().bottom - outer.top;
  const scale = seen.width / svg.viewBox.baseVal.width;
  return ([x, y, width, height]) => {
    const left = seen.left - outer.left + (x + width) * scale + 8;
    const top = seen.top - outer.top + (y + height) * scale + 8;
    const { offsetWidth, offsetHeight } = tip;
    const flipped = left + offsetWidth > outer.width ? left - width * scale - offsetWidth - 16 : left;
    const [right, down] = [Math.max(0, flipped), Math.max(0, Math.min(top, bottom - offsetHeight))];
    tip.style.transform = `translate(${right}px,${down}px)`;
  };
}
