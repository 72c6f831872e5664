import type { Block, RoutingOverviewLive, Shape } from "../contract.ts";
import { type GridNumbers, type GridStyle, placedCell } from "../gridCells.ts";
import { detailFrames, gridDetail } from "../gridDetail.ts";
import { drawOutlines } from "../outlines.ts";
import { rectPath } from "../svg.ts";
import type { Token } from "../tokens.ts";
import { unpack } from "../unpack.ts";
import { readChoice } from "./readChoice.ts";
import type { Cell, View } from "./stage.ts";

/** Pointing at a choice lights that expert in its layer, over the whole text; a click in the overview enlarges that part. */
export function routingOverview(live: RoutingOverviewLive): View {
  const { topK, layers, tokens, start, slot: tall, full, shape, compact } = live;
  const indices = unpack(live.indices);
  const numbers: GridNumbers = { ...live, indices, weights: live.weights === null ? null : unpack(live.weights) };
  const style: GridStyle = { shape, full, compact };
  const bands = live.blocks.slice(0, -1);
  const detail = live.blocks.at(-1)!;
  const color = (expert: number): string => live.colors?.[expert] ?? "var(--accent)";
  let picture: SVGSVGElement | null = null;

  const rowOf = ({ row }: Cell): number => (row < 0 ? row + layers.length : row);
  const slotAt = (token: number, row: number, expert: number): number => {
    const at = (token * layers.length + row) * topK;
    for (let k = 0; k < topK; k++) if (indices[at + k] === expert) return k;
    return -1;
  };
  /** The choice under the pointer, or the first. */
  const slotOf = (cell: Cell): number => {
    if (cell.at === null) return 0;
    if (cell.row >= 0) return Math.min(topK - 1, Math.floor(cell.at.y / tall));
    const row = rowOf(cell);
    const { rects } = placedCell(detail, cell.column, row, numbers, style);
    const x = detail.x + (cell.column - detail.column) * detail.width + cell.at.x;
    const y = detail.y + (layers.length - 1 - row) * detail.height + cell.at.y;
    const hit = rects.findIndex(([left, top, w, h]) => x >= left && x < left + w && y >= top && y < top + h);
    return Math.max(0, hit);
  };
  /** An expert's choices in a layer of a band of the overview, neighbours of one rank taken together. */
  const bandPath = ({ x, y, width, height, columns, column }: Block, row: number, expert: number): string => {
    let d = "";
    for (let i = 0; i < columns; ) {
      const slot = slotAt(column + i, row, expert);
      let run = 1;
      while (i + run < columns && slotAt(column + i + run, row, expert) === slot) run += 1;
      const top = y + (layers.length - 1 - row) * height + slot * tall;
      if (slot >= 0) d += rectPath(x + i * width, top, run * width, tall);
      i += run;
    }
    return d;
  };
  const detailPath = (row: number, expert: number): string => {
    let d = "";
    for (let token = detail.column; token < detail.column + detail.columns; token++) {
      const slot = slotAt(token, row, expert);
      if (slot >= 0) d += rectPath(...placedCell(detail, token, row, numbers, style).rects[slot]!);
    }
    return d;
  };
  /** A token's column in each block where it stands. */
  const columns = (token: number): string[] =>
    live.blocks
      .filter((block) => token >= block.column && token < block.column + block.columns)
      .map(({ x, y, width, height, rows, column: first }) =>
        rectPath(x + (token - first) * width, y, width, rows * height),
      );
  const enlarge = (token: number): void => {
    const wanted = token - Math.floor(detail.columns / 2);
    detail.column = Math.max(0, Math.min(tokens.length - detail.columns, wanted));
    if (picture === null) return;
    const shown = new Map<number, Token>();
    for (let t = detail.column; t < detail.column + detail.columns; t++) shown.set(t, plain(tokens[t]!));
    const all = Object.assign([] as Token[], Object.fromEntries(shown));
    picture.querySelector(".detail")!.innerHTML = gridDetail(detail, numbers, style, all, start, drawOutlines);
    picture.querySelector(".frame")!.innerHTML = detailFrames(bands, detail);
  };

  return {
    dims: true,
    read: (cell) => readChoice(live, numbers, cell.column, rowOf(cell), slotOf(cell)),
    light(cell) {
      const row = rowOf(cell);
      const expert = indices[(cell.column * layers.length + row) * topK + slotOf(cell)]!;
      // A path for each band: one for all would span the picture, and all of it would be painted.
      const paths = [...bands.map((band) => bandPath(band, row, expert)), detailPath(row, expert)];
      return [
        ...paths.map((d): Shape => ({ d, fill: color(expert) })),
        ...columns(cell.column).map((d): Shape => ({ d, stroke: "var(--muted)", width: 1 })),
      ];
    },
    keep(cell) {
      if (cell !== null && cell.row >= 0) enlarge(cell.column);
    },
    control(svg) {
      picture = svg;
      return document.createElement("div");
    },
  };
}

/** A token as the script knows it: what it shows, without telling signs from text. */
function plain(string: string): Token {
  return { runs: [{ text: string, kind: "text" }], string, special: false, breaksLine: false };
}
