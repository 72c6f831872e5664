import { EXPERT_COLORS, hasExpertColors, themed } from "./colors.ts";
import { probability } from "./format.ts";
import { rampLegend, TOP } from "./frame.ts";
import { element, label, rectPath } from "./svg.ts";

/** What the key needs to know of a routing. */
interface Routing {
  nExperts: number;
  topK: number;
  weights: Float32Array | null;
  /** Weight from which a square of the map is filled in full. */
  fullWeight: number;
}

/**
 * The key to which expert a mark is, at the top of a picture: colours for up to 16 experts, else the map of a cell.
 * @param mapColumns columns of that map
 * @param left where it starts, in pixels
 * @param faintest opacity of a chosen expert without weight
 */
export function expertLegend(routing: Routing, mapColumns: number, left: number, faintest: number): string {
  if (hasExpertColors(routing.nExperts)) return colorLegend(routing.nExperts, left);
  return mapLegend(routing, mapColumns, left + 22, faintest);
}

function colorLegend(nExperts: number, left: number): string {
  const swatches = EXPERT_COLORS.slice(0, nExperts).map((color, expert) => {
    const x = left + 52 + expert * 42;
    const swatch = element("rect", { x, y: TOP - 1, width: 13, height: 13, rx: 2, fill: color });
    return swatch + label(x + 17, TOP + 10, String(expert));
  });
  return label(left, TOP + 10, "expert", { fill: themed("muted") }) + swatches.join("");
}

/** An enlarged map with its corners numbered, and the scale of weights. */
function mapLegend(
  { nExperts, topK, weights, fullWeight }: Routing,
  mapColumns: number,
  x: number,
  faintest: number,
): string {
  const rows = Math.ceil(nExperts / mapColumns);
  const unit = Math.min(9, 72 / rows);
  const right = x + mapColumns * unit + 5;
  const low = TOP + rows * unit - 1;
  const d = Array.from({ length: nExperts }, (_, e) =>
    rectPath(x + (e % mapColumns) * unit + 0.5, TOP + Math.floor(e / mapColumns) * unit + 0.5, unit - 1, unit - 1),
  );
  const corners = [
    label(x - 4, TOP + 8, "0", { "text-anchor": "end" }),
    label(right, TOP + 8, String(mapColumns - 1)),
    label(x - 4, low, String((rows - 1) * mapColumns), { "text-anchor": "end" }),
    label(right, low, String(nExperts - 1)),
  ];
  const says = `A cell maps all ${nExperts} experts like this and fills the ${topK} chosen.`;
  const top = `${fullWeight < 1 ? "≥ " : ""}${probability(fullWeight)}`;
  return [
    element("path", { d: d.join(""), fill: themed("faint") }),
    element("g", { fill: themed("muted"), "font-size": 10 }, ...corners),
    label(right + 36, TOP + 10, says, { fill: themed("muted") }),
    weights === null ? "" : rampLegend(right + 36, TOP + 28, "weight", ["0", top], [faintest, 1]),
  ].join("");
}
