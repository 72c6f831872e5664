import type { Block, Shape } from "../contract.ts";
import { rectPath } from "../svg.ts";
import { followGround } from "./ground.ts";
import { make } from "./make.ts";
import { pane } from "./pane.ts";
import { fillTip, placeTip, type Reading } from "./tip.ts";

/** A cell of the picture, and where in it the pointer is. */
export interface Cell {
  column: number;
  row: number;
  /** Position inside the cell, in pixels from its corner; null when keys came here. */
  at: { x: number; y: number } | null;
  /** Number of the mark that was hit outside all cells; the cell is the one it belongs to. */
  mark?: number;
}

/** What a view adds to the stage. */
export interface View {
  read(cell: Cell): Reading;
  /** Shapes that light up with a cell. */
  light(cell: Cell): Shape[];
  /** The cell to which a mark of the picture (`data-mark`) belongs, for marks that lie outside all cells. */
  cellOf?(mark: number): { column: number; row: number };
  /** The cell that is kept from the start. */
  initial?: Cell | null;
  /** Called when a cell is kept, and with null when it is let go. */
  keep?(cell: Cell | null): void;
  /** Called when nothing is pointed at any more. */
  rest?(): void;
  /** Whether the tooltip of a kept cell stands below the picture, where it covers nothing of it. */
  docks?: boolean;
  /** Whether all other marks step back while shapes are lit. */
  dims?: boolean;
  /** A control above the picture; `redraw` is to be called after it changed the view. */
  control?(svg: SVGSVGElement, redraw: () => void): HTMLElement;
}

// The hint is as wide as the figure less its margin of 16: below 824 pixels a picture of 840 scrolls.
const STYLE = `
.stage{position:relative;font:12px/1.45 "DejaVu Sans","Segoe UI","Helvetica Neue",Arial,sans-serif;color:var(--ink)}
.pane{overflow-x:auto}
.sheets{position:relative;width:max-content}
svg{display:block;outline:none;touch-action:manipulation}
svg:focus-visible{outline:2px solid var(--accent);outline-offset:-2px}
.lit{position:absolute;inset:0;pointer-events:none;contain:strict}
.paper{fill:none}
.marks{transition:opacity .12s}
.dim .marks{opacity:.22}
.tip{position:absolute;left:0;top:0;z-index:9;pointer-events:none;max-width:440px;width:max-content;contain:content;padding:7px 10px;border-radius:5px;
  background:var(--tip);border:1px solid var(--faint);box-shadow:0 2px 10px #0003;display:none}
.tip.on{display:block}
.tip.docked{position:static;width:fit-content;max-width:none;transform:none!important;margin:4px 16px;box-shadow:none}
.tip b{display:block;margin-bottom:3px;unicode-bidi:isolate;overflow-wrap:anywhere}
.tip table{border-collapse:collapse}
.tip td{padding:0 10px 0 0;color:var(--muted);unicode-bidi:isolate;white-space:nowrap;max-width:260px;
  overflow:hidden;text-overflow:ellipsis}
.tip td+td{padding:0;text-align:right;font-variant-numeric:tabular-nums;color:var(--ink)}
.tip tr.strong td{color:var(--accent);font-weight:bold}
.tip i{display:inline-block;width:9px;height:9px;margin-right:6px;border-radius:2px}
.tip .rounded{margin-top:3px;color:var(--muted);font-size:10px}
.hint{margin:2px 0 0 16px;color:var(--muted);font-size:11px;container-type:inline-size}
.hint span{display:none}
@container(max-width:823px){.hint span{display:inline}}
.control{margin:0 0 4px 16px;display:flex;gap:8px;align-items:center;flex-wrap:wrap}
.control input,.control select,.control button{font:inherit;color:inherit;background:var(--paper);
  border:1px solid var(--faint);border-radius:4px;padding:2px 5px}
.control button{cursor:pointer;padding:2px 9px}
.control input[type=range]{padding:0;width:110px;vertical-align:middle;accent-color:var(--value)}
.control .note{flex-basis:100%;min-height:1.4em}
.spoken{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
@media print{.sheets{width:auto}svg{max-width:100%;height:auto}}
@media(prefers-reduced-motion:reduce){.marks{transition:none}}`;

const HINT = "Point at a cell, click to keep it, click again or press Escape to let go. Arrow keys move, Enter keeps.";

/** Puts a picture on a stage of its own, where styles and ids cannot meet those of the page, and makes it answer. @param error see {@link fillTip} */
export function stage(
  host: HTMLElement,
  svg: SVGSVGElement,
  blocks: readonly Block[],
  view: View,
  error: number,
): void {
  const root = host.attachShadow({ mode: "open" });
  // JupyterLab would take keys for commands of the notebook.
  host.setAttribute("data-lm-suppress-shortcuts", "true");
  const style = make("style", "", STYLE);
  const box = make("div", "stage");
  const tip = make("div", "tip");
  const spoken = make("div", "spoken");
  spoken.setAttribute("aria-live", "polite");
  // The picture's own colours follow the reader's preference; here the page's ground decides.
  svg.querySelector("style.theme")?.remove();
  svg.setAttribute("tabindex", "0");
  svg.setAttribute("role", "application");
  svg.setAttribute("aria-label", svg.querySelector("title")?.textContent ?? "");
  // A title of the whole picture would show as the browser's own tooltip above ours.
  svg.querySelector("title")?.remove();
  followGround(host, box);
  const picture = pane(svg);

  let cell: Cell | null = null;
  let pinned = false;
  const show = (next: Cell | null): void => {
    cell = next;
    // What is measured is measured before anything changes, so that the page is laid out once.
    const place = placeTip(tip, host.parentElement ?? host, box, svg);
    const docked = pinned && cell !== null && view.docks === true;
    tip.classList.toggle("on", cell !== null);
    tip.classList.toggle("docked", docked);
    const shapes = cell === null ? [] : view.light(cell);
    box.classList.toggle("dim", view.dims === true && shapes.length > 0);
    if (cell === null) {
      picture.light([]);
      view.rest?.();
      return;
    }
    const at = cellBox(blocks, cell);
    picture.light([...shapes, { d: rectPath(...at), stroke: "var(--accent)" }]);
    fillTip(tip, view.read(cell), pinned, error);
    if (!docked) place(cell.mark === undefined ? at : [at[0] + cell.at!.x, at[1] + cell.at!.y, 4, 4]);
  };
  const say = (): void => {
    if (cell === null) return;
    const { head, lines } = view.read(cell);
    spoken.textContent = [head, ...lines.map((line) => `${line.name} ${line.value}`)].join(", ");
  };
  const pin = (on: boolean): void => {
    pinned = on;
    view.keep?.(on ? cell : null);
    show(cell);
  };

  svg.addEventListener("pointermove", (event) => {
    if (!pinned) show(cellAt(svg, blocks, view, event));
  });
  svg.addEventListener("pointerleave", () => {
    if (!pinned) show(null);
  });
  svg.addEventListener("click", (event) => {
    const hit = cellAt(svg, blocks, view, event);
    const again = pinned && hit?.column === cell?.column && hit?.row === cell?.row && hit?.mark === cell?.mark;
    cell = hit;
    pin(hit !== null && !again);
    say();
  });
  svg.addEventListener("keydown", (event) => {
    const moved = movedBy(event.key, blocks, cell);
    if (moved !== null) {
      picture.reveal(cellBox(blocks, moved));
      show(moved);
    } else if (event.key === "Enter" && cell !== null) pin(!pinned);
    else if (event.key === "Escape") {
      cell = null;
      pin(false);
    } else return;
    event.preventDefault();
    event.stopPropagation();
    say();
  });
  svg.addEventListener("blur", () => {
    if (!pinned) show(null);
  });
  picture.element.addEventListener("scroll", () => {
    if (cell !== null) show(cell);
  });

  const hint = make("div", "hint", HINT);
  hint.append(make("span", "", " Scroll sideways for the rest of the picture."));
  const control = view.control?.(svg, () => show(cell));
  box.append(...(control === undefined ? [] : [control]), picture.element, hint, tip, spoken);
  root.append(style, box);
  if (view.initial) {
    cell = view.initial;
    pin(true);
  }
}

function cellBox(
  blocks: readonly Block[],
  { column, row }: Pick<Cell, "column" | "row">,
): [number, number, number, number] {
  const block = blockOf(blocks, column, row)!;
  const line = block.upwards === true ? block.rows - 1 - (row - block.row) : row - block.row;
  const x = block.x + (column - block.column) * block.width;
  return [x, block.y + line * block.height, block.width, block.height];
}

function blockOf(blocks: readonly Block[], column: number, row: number): Block | undefined {
  return blocks.find(
    (b) => column >= b.column && column < b.column + b.columns && row >= b.row && row < b.row + b.rows,
  );
}

function cellAt(svg: SVGSVGElement, blocks: readonly Block[], view: View, event: MouseEvent): Cell | null {
  const seen = svg.getBoundingClientRect();
  const scale = svg.viewBox.baseVal.width / seen.width;
  const x = (event.clientX - seen.left) * scale;
  const y = (event.clientY - seen.top) * scale;
  for (const block of blocks) {
    const across = Math.floor((x - block.x) / block.width);
    const down = Math.floor((y - block.y) / block.height);
    if (across < 0 || across >= block.columns || down < 0 || down >= block.rows) continue;
    const row = block.row + (block.upwards === true ? block.rows - 1 - down : down);
    const at = { x: x - block.x - across * block.width, y: y - block.y - down * block.height };
    return { column: block.column + across, row, at };
  }
  const mark = (event.target as SVGElement).dataset["mark"];
  if (mark === undefined || view.cellOf === undefined) return null;
  const cell = view.cellOf(Number(mark));
  const [left, top] = cellBox(blocks, cell);
  return { ...cell, at: { x: x - left, y: y - top }, mark: Number(mark) };
}

/** The cell an arrow key leads to; the first cell when there was none, the same one at an edge. */
function movedBy(key: string, blocks: readonly Block[], cell: Cell | null): Cell | null {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  if (step === undefined) return null;
  const first = blocks[0]!;
  if (cell === null) return { column: first.column, row: first.row, at: null };
  const block = blockOf(blocks, cell.column, cell.row)!;
  const column = cell.column + step[0]!;
  const row = cell.row + (block.upwards === true ? -step[1]! : step[1]!);
  return blockOf(blocks, column, row) === undefined ? { ...cell, at: null } : { column, row, at: null };
}
