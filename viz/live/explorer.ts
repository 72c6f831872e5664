import type { ExplorerLive, ExplorerState } from "../contract.ts";
import {
  chosenAt,
  type ExplorerNumbers,
  type ExplorerPoint,
  explorerBlocks,
  heatMarks,
  heatSigns,
  litShapes,
  slicesAt,
  weightAt,
} from "../explorerPanels.ts";
import { percent, probability, quoted } from "../format.ts";
import { drawOutlines } from "../outlines.ts";
import { scaleFills } from "../scale.ts";
import { unpack } from "../unpack.ts";
import { make } from "./make.ts";
import type { Cell, View } from "./stage.ts";
import type { Line } from "./tip.ts";

/** Text, grid, heatmap and load, linked: what is pointed at in one is lit in all. */
export function explorer(live: ExplorerLive): View {
  const { layers, nExperts, topK, tokens, start } = live;
  const numbers: ExplorerNumbers = {
    ...live,
    nTokens: tokens.length,
    indices: unpack(live.indices),
    weights: live.weights === null ? null : unpack(live.weights),
    probs: live.probs === null ? null : unpack(live.probs),
    load: unpack(live.load),
  };
  const blocks = explorerBlocks(live.blocks);
  let state = live.state;
  let painted = layers.indexOf(state.layer);
  let picture: SVGSVGElement | null = null;
  let told: HTMLInputElement | null = null;
  let chooser: HTMLSelectElement | null = null;

  /** The row above the grid is the text, those below it are the experts of the layer that is chosen. */
  const pointOf = ({ column, row, at }: Cell): ExplorerPoint => {
    const own = layers.indexOf(state.layer);
    const token = column < tokens.length ? column : null;
    if (row < 0) return { token, row: own, expert: -1 - row };
    if (row >= layers.length) return { token, row: own, expert: state.expert };
    const slices = slicesAt(numbers, blocks.grid, column, row);
    const { x, y, width, height } = blocks.grid;
    const [px, py] =
      at === null ? [-1, -1] : [x + column * width + at.x, y + (layers.length - 1 - row) * height + at.y];
    const hit = slices.findIndex(([sx, sy, w, h]) => px >= sx && px < sx + w && py >= sy && py < sy + h);
    return { token, row, expert: chosenAt(numbers, column, row)[Math.max(0, hit)]! };
  };
  const paint = (row: number): void => {
    if (row === painted || picture === null) return;
    painted = row;
    picture.querySelector(".heat")!.innerHTML = drawOutlines(
      heatMarks(numbers, blocks.heat, row),
      scaleFills("var(--value)"),
    );
    picture.querySelector(".signs")!.innerHTML = heatSigns(numbers, blocks, row);
  };
  const tell = (next: ExplorerState): void => {
    state = next;
    if (told !== null) told.value = JSON.stringify(state);
    if (chooser !== null) chooser.value = String(state.layer);
  };
  const cellOf = ({ token, expert }: ExplorerState): Cell | null => {
    if (token === null && expert === null) return null;
    if (expert !== null) {
      const column = token === null ? tokens.length : token - start;
      return { column, row: -1 - expert, at: null };
    }
    return { column: token! - start, row: layers.length, at: null };
  };

  return {
    dims: true,
    docks: true,
    initial: cellOf(live.state),
    read(cell) {
      const { token, row, expert } = pointOf(cell);
      const swatch = (e: number): Partial<Line> => (live.colors === null ? {} : { swatch: live.colors[e]! });
      const layer = `layer ${layers[row]}`;
      const lines: Line[] = [];
      if (token !== null)
        for (const e of chosenAt(numbers, token, row)) {
          const p = numbers.probs?.[(token * layers.length + row) * nExperts + e];
          lines.push({
            name: `expert ${e}`,
            value: `weight ${numbers.weights === null ? "not recorded" : probability(weightAt(numbers, token, row, e))}${p === undefined ? "" : `, probability ${probability(p)}`}`,
            strong: e === expert,
            ...swatch(e),
          });
        }
      if (expert !== null) {
        const uses = tokens.filter((_, t) => chosenAt(numbers, t, row).includes(expert)).length;
        const p = token === null ? undefined : numbers.probs?.[(token * layers.length + row) * nExperts + expert];
        if (token !== null && p !== undefined && !chosenAt(numbers, token, row).includes(expert))
          lines.push({ name: `expert ${expert}, not chosen`, value: `probability ${probability(p)}`, strong: true });
        lines.push({
          name: `tokens here on expert ${expert}`,
          value: `${uses} of ${tokens.length} = ${percent(uses / tokens.length)}, uniform ${percent(topK / nExperts)}`,
        });
        lines.push({
          name: "its load",
          value: `${percent(numbers.load[row * nExperts + expert]!)}, uniform ${percent(1 / nExperts)}`,
        });
      }
      const what = token === null ? `expert ${expert}` : `${start + token} ${quoted(tokens[token]!)}`;
      return { head: `${what}, ${layer}`, lines };
    },
    light(cell) {
      const point = pointOf(cell);
      paint(point.row);
      picture?.querySelector(".state")?.replaceChildren();
      return litShapes(numbers, blocks, point);
    },
    rest: () => paint(layers.indexOf(state.layer)),
    keep(cell) {
      if (cell === null) {
        tell({ ...state, token: null, expert: null });
        return;
      }
      const { token, row, expert } = pointOf(cell);
      const isText = cell.row >= layers.length;
      tell({ layer: layers[row]!, token: token === null ? null : start + token, expert: isText ? null : expert });
    },
    control(svg, redraw) {
      picture = svg;
      const control = make("div", "control");
      const select = make("select", "layer");
      for (const layer of layers) select.add(new Option(`layer ${layer}`, String(layer)));
      select.addEventListener("change", () => {
        tell({ ...state, layer: Number(select.value) });
        paint(layers.indexOf(state.layer));
        redraw();
      });
      const input = make("input", "state");
      input.readOnly = true;
      input.size = 44;
      input.addEventListener("focus", () => input.select());
      [chooser, told] = [select, input];
      tell(state);
      const labelled = (words: string, field: HTMLElement): HTMLElement => {
        const label = make("label", "", `${words} `);
        label.append(field);
        return label;
      };
      control.append(labelled("heatmap and load of", select), labelled("state, to be given back", input));
      return control;
    },
  };
}
