import { ticks } from "d3";
import type { ExpertLoad } from "../lib/metrics/load.ts";
import { EXPERT_COLORS, hasExpertColors, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { count, percent, real } from "./format.ts";
import { frame, MARGIN, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { element, label, rectPath, round } from "./svg.ts";
import { layerRow } from "./traceWindow.ts";

export interface ExpertLoadOptions {
  /** The model's layer number; all layers as small multiples where absent. */
  layer?: number;
}

/** What the load bars draw. */
export interface ExpertLoadData {
  layers: number[];
  nExperts: number;
  topK: number;
  nTokens: number;
  /** Share of assignments: [n_layers, n_experts]. */
  share: Float64Array;
  /** Uniform share, and the bounds of the central 95 % of a share under uniform routing. */
  uniform: { share: number; low: number; high: number };
}

/** Bars that one figure can hold within 300 kB. */
const MOST_BARS = 3072;

const LEFT = 56;

/**
 * How evenly the experts of each layer are used.
 *
 * One bar is one expert's load: its share of the layer's assignments (token and slot), so a panel sums to 1. The line is
 * the uniform share 1 / n_experts; the band is where 95 % of experts would fall if every token drew its top_k uniformly
 * and on its own (binomial counts). Bars outside the band are full in colour, those inside pale; up to 16 experts a
 * square below each bar has the expert's colour of the other views. All panels share one scale.
 * @param load the result of `loadPerExpert`
 * @throws RangeError for a layer that was not traced, or more layers than fit
 * @example show(expertLoad(loadPerExpert(trace)))
 */
export function expertLoad(load: ExpertLoad, options: ExpertLoadOptions = {}): Figure<ExpertLoadData> {
  const data = gather(load, options.layer);
  const { layers, nExperts, topK, nTokens, uniform } = data;
  if (layers.length * nExperts > MOST_BARS)
    throw new RangeError(
      `expertLoad: layer must be given for more than ${MOST_BARS} bars, got ${layers.length} layers of ${nExperts}`,
    );
  const layout = layOut(data);
  const one = layers.length === 1;
  const title = one ? `Load of each expert in layer ${layers[0]}` : `Load of each expert, layer by layer`;
  const subtitle = `share of assignments; ${count(nTokens)} tokens, ${topK} of ${nExperts} experts each; uniform ${percent(uniform.share)}, 95 % of experts within ${percent(uniform.low)} to ${percent(uniform.high)}`;
  const stats = layers.map((layer, row) => describe(load, load.layers.indexOf(layer), share(data, row)));
  const description = stats.map((text, row) => `Layer ${layers[row]}: ${text}`).join(". ");
  return new Figure(data, {
    title,
    summary: `${subtitle}. ${description}`,
    caption:
      `A bar is an expert's share of the ${count(nTokens * topK)} assignments (token and slot) of a layer. Dashed line: uniform, 1/${nExperts}. ` +
      `Band: 95 % of experts would lie in it if each token drew its ${topK} uniformly and on its own; about one expert in twenty ` +
      "falls outside by chance alone, and neighbouring tokens are not independent. Effective: exp of the load's entropy; " +
      "CV: standard deviation over mean.",
    svg: frame({ title, subtitle, description, height: layout.height, body: draw(data, layout, stats) }),
    table: tableOf(["layer", "expert", "assignments", "share", "against uniform"], layers.length * nExperts, (i) => {
      const [row, expert] = [Math.floor(i / nExperts), i % nExperts];
      const s = data.share[i]!;
      return [
        String(layers[row]),
        String(expert),
        count(Math.round(s * nTokens * topK)),
        percent(s),
        verdict(s, uniform),
      ];
    }),
    live: {
      view: "expertLoad",
      blocks: layout.blocks,
      tokens: [],
      start: 0,
      layers,
      nExperts,
      counts: Array.from(data.share, (s) => Math.round(s * nTokens * topK)),
      assignments: nTokens * topK,
      low: uniform.low,
      high: uniform.high,
      colors: hasExpertColors(nExperts) ? EXPERT_COLORS.slice(0, nExperts) : null,
    },
  });
}

function gather(load: ExpertLoad, layer: number | undefined): ExpertLoadData {
  const { nExperts, topK, nTokens, uniform } = load;
  const from = layer === undefined ? 0 : layerRow("expertLoad", load.layers, layer);
  const to = layer === undefined ? load.layers.length : from + 1;
  return {
    layers: load.layers.slice(from, to),
    nExperts,
    topK,
    nTokens,
    share: load.share.slice(from * nExperts, to * nExperts),
    uniform: { share: uniform.share, low: uniform.low / (nTokens * topK), high: uniform.high / (nTokens * topK) },
  };
}

function share({ share: all, nExperts }: ExpertLoadData, row: number): Float64Array {
  return all.subarray(row * nExperts, (row + 1) * nExperts);
}

function verdict(value: number, { low, high }: ExpertLoadData["uniform"]): string {
  return value < low ? "below the band" : value > high ? "above the band" : "within the band";
}

function describe({ effective, variation, nExperts }: ExpertLoad, row: number, shares: Float64Array): string {
  const top = shares.indexOf(Math.max(...shares));
  const unused = shares.filter((s) => s === 0).length;
  const parts = [
    `busiest ${top}: ${percent(shares[top]!)}`,
    `effective ${real(effective[row]!)} of ${nExperts}`,
    `CV ${variation[row]!.toFixed(2)}`,
    ...(unused === 0 ? [] : [`${unused} unused`]),
  ];
  return parts.join(" · ");
}

interface Layout {
  blocks: Block[];
  /** Share at the top of every panel. */
  most: number;
  height: number;
}

/** Two panels beside each other while bars stay wide enough. */
function layOut({ layers, nExperts, share: shares, uniform }: ExpertLoadData): Layout {
  const across = nExperts <= 16 && layers.length > 1 ? 2 : 1;
  const gap = 64;
  const room = (WIDTH - LEFT - MARGIN - 16 - (across - 1) * gap) / across;
  const width = Math.min(44, room / nExperts);
  const tall = layers.length === 1 ? 220 : 92;
  const step = tall + 62;
  const blocks = layers.map((_, row) => ({
    x: LEFT + (row % across) * (room + gap),
    y: TOP + 24 + Math.floor(row / across) * step,
    width,
    height: tall,
    columns: nExperts,
    rows: 1,
    column: 0,
    row,
  }));
  const most = Math.max(uniform.high, ...shares) * 1.08;
  return { blocks, most, height: blocks.at(-1)!.y + step - 16 };
}

function draw(data: ExpertLoadData, { blocks, most }: Layout, stats: readonly string[]): string[] {
  return blocks.map((block, row) => {
    const { x, y, width, height, columns } = block;
    const rise = (value: number): number => (value / most) * height;
    const wide = columns * width;
    const bars = { within: "", outside: "" };
    share(data, row).forEach((s, e) => {
      const inside = s >= data.uniform.low && s <= data.uniform.high;
      const inset = Math.min(2, width * 0.14);
      bars[inside ? "within" : "outside"] += rectPath(
        x + e * width + inset,
        y + height - rise(s),
        width - 2 * inset,
        rise(s),
      );
    });
    const { low, high, share: even } = data.uniform;
    return [
      label(x, y - 8, `layer ${data.layers[row]}`, { "font-weight": "bold" }),
      label(x + 52, y - 8, stats[row]!, { fill: themed("muted"), "font-size": 10 }),
      element("rect", {
        x,
        y: y + height - rise(high),
        width: wide,
        height: rise(high) - rise(low),
        fill: themed("well"),
      }),
      axis(block, most),
      element(
        "g",
        { class: "marks" },
        element("path", { d: bars.within, fill: themed("value"), "fill-opacity": 0.45 }),
        element("path", { d: bars.outside, fill: themed("value") }),
      ),
      element("path", {
        d: `M${x} ${round(y + height - rise(even))}h${wide}`,
        stroke: themed("ink"),
        "stroke-dasharray": "4 3",
      }),
      element("path", { d: `M${x} ${y + height}h${wide}`, stroke: themed("muted") }),
      experts(block, data.nExperts),
      row === 0
        ? label(x + wide + 4, y + height - rise(even) + 3, "1/E", { "font-size": 10, fill: themed("muted") })
        : "",
    ].join("");
  });
}

/** Shares at the left, in percent. */
function axis({ x, y, width, height, columns }: Block, most: number): string {
  const marks = ticks(0, most, height > 150 ? 6 : 3);
  const digits = marks.some((m) => !Number.isInteger(round(m * 100))) ? 1 : 0;
  const lines = marks.map((m) => `M${x} ${round(y + height - (m / most) * height)}h${columns * width}`);
  return (
    element("path", { d: lines.join(""), stroke: themed("faint"), "stroke-opacity": 0.6 }) +
    element(
      "g",
      { "text-anchor": "end", "font-size": 10, fill: themed("muted") },
      ...marks.map((m) => label(x - 6, y + height - (m / most) * height + 3.5, `${(m * 100).toFixed(digits)} %`)),
    )
  );
}

/** Expert numbers below the bars, with the square of each expert's colour where there is one. */
function experts({ x, y, width, height, columns }: Block, nExperts: number): string {
  const every = [1, 2, 4, 8, 16, 32].find((step) => step * width >= 16) ?? 64;
  const shown = Array.from({ length: Math.ceil(columns / every) }, (_, i) => i * every);
  const squares = hasExpertColors(nExperts)
    ? shown.map((e) =>
        element("rect", {
          x: x + (e + 0.5) * width - 4,
          y: y + height + 4,
          width: 8,
          height: 5,
          fill: EXPERT_COLORS[e]!,
        }),
      )
    : [];
  const down = y + height + (squares.length > 0 ? 20 : 14);
  return (
    squares.join("") +
    label(x - 6, down, "expert", { "text-anchor": "end", "font-size": 10, fill: themed("muted") }) +
    element(
      "g",
      { "text-anchor": "middle", "font-size": 10, fill: themed("muted") },
      ...shown.map((e) => label(x + (e + 0.5) * width, down, String(e))),
    )
  );
}
