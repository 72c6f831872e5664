import { make } from "./make.ts";

/** What is said about a cell. */
export interface Reading {
  head: string;
  lines: Line[];
}

interface Line {
  name: string;
  value: string;
  /** Colour of the swatch before the name. */
  swatch?: string;
  strong?: boolean;
}

/** Writes a reading into the tooltip, as text only: tokens are not to be trusted. */
export function fillTip(tip: HTMLElement, { head, lines }: Reading, pinned: boolean): void {
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
}

/** Beside the cell, inside the figure: a notebook cuts what stands out of its output. */
export function placeTip(
  tip: HTMLElement,
  box: HTMLElement,
  svg: SVGSVGElement,
  x: number,
  y: number,
  width: number,
  height: number,
): void {
  const seen = svg.getBoundingClientRect();
  const outer = box.getBoundingClientRect();
  const scale = seen.width / svg.viewBox.baseVal.width;
  const left = seen.left - outer.left + (x + width) * scale + 8;
  const top = seen.top - outer.top + (y + height) * scale + 8;
  const flipped = left + tip.offsetWidth > outer.width ? left - width * scale - tip.offsetWidth - 16 : left;
  tip.style.left = `${Math.max(0, flipped)}px`;
  tip.style.top = `${Math.max(0, Math.min(top, outer.height - tip.offsetHeight))}px`;
}
