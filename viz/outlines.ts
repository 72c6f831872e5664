import type { Fill } from "./scale.ts";
import { element, rectPath } from "./svg.ts";

/** A filled rectangle. */
export interface Mark {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Which of the fills. */
  fill: number;
}

/** Draws rectangles as one path for each fill in use. */
export function drawOutlines(marks: readonly Mark[], fills: readonly Fill[]): string {
  const paths = fills.map((): string[] => []);
  for (const mark of marks) paths[mark.fill]!.push(rectPath(mark.x, mark.y, mark.width, mark.height));
  return fills
    .map((fill, i) => ({ ...fill, d: paths[i]!.join("") }))
    .filter(({ d, opacity }) => d !== "" && opacity > 0)
    .map(({ d, color, opacity }) => element("path", { d, fill: color, "fill-opacity": opacity === 1 ? null : opacity }))
    .join("");
}
