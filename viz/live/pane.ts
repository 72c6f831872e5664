import type { Shape } from "../contract.ts";
import { make } from "./make.ts";

const SVG = "http://www.w3.org/2000/svg";

/** A picture, and a sheet of glass over it on which shapes are lit. */
export interface Pane {
  element: HTMLElement;
  /** Lights these shapes, and none that were lit before. */
  light(shapes: readonly Shape[]): void;
  /** Scrolls until a rectangle of the picture, its left edge and its width first, is in sight. */
  reveal(rect: readonly [x: number, y: number, width: number, height: number]): void;
}

/** Pixels that stay in sight beside what is revealed. */
const AROUND = 40;

/**
 * Puts a picture under glass. Lighting a shape paints the glass anew and the picture's pixels beneath that shape, not the whole
 * picture, however much stands in it. In a column that is narrower than the picture the pane scrolls sideways, since smaller text is hard to read.
 */
export function pane(svg: SVGSVGElement): Pane {
  const element = make("div", "pane");
  const sheets = make("div", "sheets");
  const glass = document.createElementNS(SVG, "svg");
  for (const name of ["width", "height", "viewBox"]) glass.setAttribute(name, svg.getAttribute(name)!);
  svg.classList.add("picture");
  glass.classList.add("lit");
  glass.setAttribute("aria-hidden", "true");
  sheets.append(svg, glass);
  element.append(sheets);
  return {
    element,
    light: (shapes) => glass.replaceChildren(...shapes.map(drawn)),
    reveal([x, , width]) {
      const [left, right] = [x - AROUND, x + width + AROUND - element.clientWidth];
      if (element.scrollLeft > left) element.scrollLeft = left;
      else if (element.scrollLeft < right) element.scrollLeft = right;
    },
  };
}

function drawn({ d, fill = "none", opacity = 1, stroke, width = 1.5 }: Shape): SVGPathElement {
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", d);
  path.setAttribute("fill", fill);
  path.setAttribute("fill-opacity", String(opacity));
  if (stroke !== undefined) {
    path.setAttribute("stroke", stroke);
    path.setAttribute("stroke-width", String(width));
    path.setAttribute("stroke-opacity", String(opacity));
  }
  return path;
}
