import { listed } from "../lib/errors.ts";
import { checkTrace } from "../lib/metrics/checkTrace.ts";
import { checkChoices } from "../lib/metrics/choices.ts";
import type { RoutingTrace } from "../lib/trace/record.ts";
import { EXPERT_COLORS, hasExpertColors, inkOn, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { type Flow, type FlowLink, flowOf, flowPaths, flowThrough, RATIO_STEPS } from "./flow.ts";
import { count, percent, real, times } from "./format.ts";
import { frame, MARGIN, rampLegend, TOP, WIDTH } from "./frame.ts";
import { type Table, tableOf } from "./html.ts";
import { checkFinite, maybeShare } from "./options.ts";
import { packWhole } from "./pack.ts";
import { curvePath, element, label, rectPath, round } from "./svg.ts";
import { layerRow } from "./traceWindow.ts";

export interface ExpertFlowOptions {
  /** The model's layer numbers, rising; where absent all, or as many, evenly spread, as can be followed. */
  layers?: readonly number[];
  /** Smallest share of the tokens that makes a ribbon; where absent that of an even link, 1 / n_experts², or more to fit. */
  minShare?: number;
}

/** What the expert flow draws. */
export interface ExpertFlowData extends Flow {
  layers: number[];
  nExperts: number;
  topK: number;
  nTokens: number;
}

/** Blocks and ribbons that one figure can hold within 300 kB. */
const MOST_NODES = 256;
const mostLinks = (nodes: number): number => (nodes <= 128 ? 160 : 64);

/** Layers beyond which the spaces between columns are too narrow to follow a ribbon. */
const MOST_LAYERS = 8;

const LEFT = 76;
const RIGHT = 26;
const NODE = 18;
const BODY = TOP + 42;

/** Height of the bars below. */
const BARS = 60;

/** Ratio to the expected flow at which a ribbon is in full colour, and the opacity of one that has no more than expected. */
const FULL_RATIO = 3;
const FAINTEST = 0.1;

/**
 * How a text flows from expert to expert through the layers.
 *
 * A column is a layer, a block one of its experts: as high as its load, with a token counted as 1 and split among its
 * experts by weight (evenly where none is recorded). A ribbon is a link, the tokens that one expert passes on to another,
 * Σ w · w′, in the earlier expert's colour for up to 16 experts: faint where it carries no more than if the two layers chose
 * independently, load · load′ / n_tokens, and in full from three times that. Links below `minShare` are bundled in grey, so
 * that what enters a block also leaves it. The bars below say how much of the flow is on links with each ratio to the
 * expected flow; the line is what chance alone gives at this sample size, with the later layer's tokens shuffled. The bar
 * at the left is a uniform load. Pointing at a block lights whole paths: the part of every block and ribbon that is due to
 * its tokens; pointing at a ribbon shows the expected flow inside it.
 * @throws RangeError for fewer than two layers, layers that were not traced or do not rise, more blocks or ribbons than
 * fit (choose fewer `layers` or a larger `minShare`), choices that are not top_k different experts, or a weight that is not finite
 * @example show(expertFlow(trace, { layers: [0, 1, 2, 3], minShare: 0.01 }))
 */
export function expertFlow(trace: RoutingTrace, options: ExpertFlowOptions = {}): Figure<ExpertFlowData> {
  const { data, through } = gather(trace, options);
  const { layers, nExperts, topK, nTokens, minShare } = data;
  const layout = layOut(data);
  const rest = data.rest.reduce((sum, { tokens }) => sum + tokens, 0) / (nTokens * (layers.length - 1));
  const title = `Flow from expert to expert, ${topK} of ${nExperts} for each token: layers ${layers.join(", ")}`;
  const subtitle = `${count(nTokens)} tokens; ribbons: links of at least ${shareText(minShare)} = ${real(minShare * nTokens)} tokens; the rest, ${percent(rest)} of the flow, in grey`;
  const description = `${subtitle}. ${describe(data)}`;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A block is an expert, as high as its load; a ribbon is the part of the text that goes on from it to an expert of the " +
      "next column. A token counts as 1 in each layer, split by its weights. The stronger a ribbon's colour, the more it " +
      "exceeds what two layers that choose independently would pass on. Bars below: how much of the flow is on links with " +
      "each ratio to that expectation; line: the same with the tokens shuffled, which is chance alone.",
    svg: frame({ title, subtitle, description, height: layout.height, body: draw(data, layout) }),
    table: linkTable(data),
    live: {
      view: "expertFlow",
      blocks: layout.nodes.map((block) => ({
        ...block,
        x: round(block.x),
        y: round2(block.y),
        height: round2(block.height),
      })),
      tokens: [],
      start: 0,
      layers,
      nExperts,
      nTokens,
      load: Array.from(data.load, round),
      links: layout.ribbons.map(({ link, y0, y1 }) => ({
        ...link,
        tokens: round(link.tokens),
        expected: round(link.expected),
        y0: round2(y0),
        y1: round2(y1),
      })),
      rest: data.rest.map(({ tokens }) => round(tokens)),
      unit: layout.unit,
      through: packWhole(through.map((share) => Math.round(share * 255))),
      colors: hasExpertColors(nExperts) ? EXPERT_COLORS.slice(0, nExperts) : null,
    },
  });
}

function gather(trace: RoutingTrace, options: ExpertFlowOptions): { data: ExpertFlowData; through: Float64Array } {
  checkTrace("expertFlow", trace);
  const { nExperts, topK, tokenIds } = trace;
  if (tokenIds.length === 0) throw new RangeError("expertFlow: the trace must hold at least one token, got none");
  checkChoices("expertFlow", trace.expertIndices, trace);
  if (trace.expertWeights !== null) checkFinite("expertFlow", "expert weights", trace.expertWeights);
  const layers = chosenLayers(trace, options.layers);
  const paths = flowPaths(
    trace,
    layers.map((layer) => layerRow("expertFlow", trace.layers, layer)),
  );
  const size = { nTokens: tokenIds.length, nLayers: layers.length, nExperts, topK };
  const most = mostLinks(layers.length * nExperts);
  const flow = flowOf(paths, size, maybeShare("expertFlow", "minShare", options.minShare), most);
  if (flow.links.length > most)
    throw new RangeError(
      `expertFlow: minShare must leave at most ${most} links here, got ${flow.links.length} of at least ${options.minShare}`,
    );
  const data = { layers, nExperts, topK, nTokens: tokenIds.length, ...flow };
  return { data, through: flowThrough(paths, size, flow) };
}

function chosenLayers({ layers: traced, nExperts }: RoutingTrace, chosen: readonly number[] | undefined): number[] {
  const most = Math.min(MOST_LAYERS, Math.floor(MOST_NODES / nExperts));
  if (most < 2)
    throw new RangeError(`expertFlow: nExperts must be at most ${MOST_NODES / 2} to be drawn, got ${nExperts}`);
  const n = Math.min(most, traced.length);
  const spread = Array.from(
    { length: n },
    (_, i) => traced[Math.round((i * (traced.length - 1)) / Math.max(1, n - 1))]!,
  );
  const layers = chosen === undefined ? spread : [...chosen];
  if (layers.length < 2 || layers.length > most || layers.some((layer, i) => i > 0 && layer <= layers[i - 1]!))
    throw new RangeError(
      `expertFlow: layers must be 2 to ${most} rising layer numbers, got ${listed(layers) || "none"}`,
    );
  return layers;
}

/** A threshold, which may be far below a percent. */
function shareText(share: number): string {
  return `${real(Number((share * 100).toPrecision(2)))} %`;
}

function describe({ layers, nTokens, links }: ExpertFlowData): string {
  const strongest = layers.slice(1).map((layer, gap) => {
    const top = links.filter((link) => link.gap === gap).sort((a, b) => b.tokens - a.tokens)[0];
    const between = `layer ${layers[gap]} to ${layer}:`;
    if (top === undefined) return `${between} no link is large enough`;
    return `${between} ${top.source} → ${top.target} with ${percent(top.tokens / nTokens)}, ${times(top.tokens / top.expected)} as expected`;
  });
  return `Largest links: ${strongest.join("; ")}.`;
}

function linkTable({ layers, nTokens, links }: ExpertFlowData): Table {
  const sorted = links.toSorted((a, b) => b.tokens - a.tokens);
  const columns = ["from", "to", "tokens", "share", "expected if independent", "ratio"];
  return tableOf(columns, sorted.length, (i) => {
    const { gap, source, target, tokens, expected } = sorted[i]!;
    return [
      `layer ${layers[gap]}, expert ${source}`,
      `layer ${layers[gap + 1]}, expert ${target}`,
      real(tokens),
      percent(tokens / nTokens),
      percent(expected / nTokens),
      times(tokens / expected),
    ];
  });
}

/** A link and where its middle line starts and ends. */
interface Ribbon {
  link: FlowLink;
  y0: number;
  y1: number;
}

interface Layout {
  /** One block of one cell for each expert of each layer. */
  nodes: Block[];
  ribbons: Ribbon[];
  /** Height of a token in pixels. */
  unit: number;
  /** Lower end of the columns. */
  bottom: number;
  height: number;
}

function layOut({ layers, nExperts, nTokens, load, links }: ExpertFlowData): Layout {
  const gap = nExperts <= 16 ? 6 : nExperts <= 64 ? 2 : 0.8;
  const tall = nExperts <= 16 ? 380 : 460;
  const unit = (tall - gap * (nExperts - 1)) / nTokens;
  const step = (WIDTH - LEFT - RIGHT - NODE) / (layers.length - 1);
  const nodes: Block[] = [];
  for (let column = 0; column < layers.length; column++)
    for (let y = BODY, row = 0; row < nExperts; row++) {
      const height = load[column * nExperts + row]! * unit;
      nodes.push({ x: LEFT + column * step, y, width: NODE, height, columns: 1, rows: 1, column, row });
      y += height + gap;
    }
  const into = nodes.map(({ y }) => y);
  const out = nodes.map(({ y }) => y);
  const ribbons = links.map((link) => {
    const [from, to] = [link.gap * nExperts + link.source, (link.gap + 1) * nExperts + link.target];
    const thick = link.tokens * unit;
    const ribbon = { link, y0: out[from]! + thick / 2, y1: into[to]! + thick / 2 };
    out[from]! += thick;
    into[to]! += thick;
    return ribbon;
  });
  return { nodes, ribbons, unit, bottom: BODY + tall, height: BODY + tall + BARS + 72 };
}

function draw(data: ExpertFlowData, layout: Layout): string[] {
  return [
    legend(data, layout.unit),
    element("g", { class: "marks" }, restBands(data, layout), ribbonPaths(data, layout), nodeRects(data, layout)),
    labels(data, layout),
    ratioBars(data, layout),
  ];
}

function colorOf(expert: number, nExperts: number): string {
  return hasExpertColors(nExperts) ? EXPERT_COLORS[expert]! : themed("value");
}

/** Ribbons that exceed the expected flow most lie on top. */
function ribbonPaths({ nExperts }: ExpertFlowData, { nodes, ribbons, unit }: Layout): string {
  const paths = ribbons.map(({ link, y0, y1 }, i) => {
    const [from, to] = [nodes[link.gap * nExperts]!, nodes[(link.gap + 1) * nExperts]!];
    const ratio = link.tokens / link.expected;
    const path = element("path", {
      d: curvePath(from.x + NODE, y0, to.x, y1),
      stroke: colorOf(link.source, nExperts),
      "stroke-width": round2(link.tokens * unit),
      "stroke-opacity": round2(FAINTEST + (1 - FAINTEST) * Math.max(0, Math.min(1, (ratio - 1) / (FULL_RATIO - 1)))),
      "data-mark": i,
    });
    return { path, ratio };
  });
  paths.sort((a, b) => a.ratio - b.ratio);
  return element("g", { fill: "none" }, ...paths.map(({ path }) => path));
}

function round2(value: number): number {
  return Math.round(value * 100) / 100;
}

/** What is not drawn as ribbons: behind them from column to column, and halfway as high as its tokens. */
function restBands({ nExperts, rest }: ExpertFlowData, { nodes, unit, bottom }: Layout): string {
  const bands = rest.map(({ tokens }, gap) => {
    const [left, right] = [nodes[gap * nExperts]!.x + NODE, nodes[(gap + 1) * nExperts]!.x];
    const [middle, high] = [(left + right) / 2, (bottom - BODY - tokens * unit) / 2];
    const half = (x0: number, y0: number, x1: number, y1: number): string =>
      curvePath(x0, y0, x1, y1).replace(/^M[^C]*/, "");
    return [
      curvePath(left, BODY, middle, BODY + high),
      half(middle, BODY + high, right, BODY),
      `V${bottom}`,
      half(right, bottom, middle, bottom - high),
      half(middle, bottom - high, left, bottom),
      "z",
    ].join("");
  });
  return element("path", { d: bands.join(""), fill: themed("well") });
}

function nodeRects({ nExperts }: ExpertFlowData, { nodes }: Layout): string {
  const paths = Array.from({ length: nExperts }, (_, expert) => {
    const own = nodes.filter(({ row }) => row === expert);
    return element("path", {
      d: own.map(({ x, y, width, height }) => rectPath(x, y, width, height)).join(""),
      fill: colorOf(expert, nExperts),
      "shape-rendering": "crispEdges",
    });
  });
  const numbers = nodes.map(({ x, y, height, row }) =>
    hasExpertColors(nExperts) && height >= 10
      ? label(x + NODE / 2, y + height / 2 + 3.6, String(row), { fill: inkOn(row) })
      : "",
  );
  return paths.join("") + element("g", { "text-anchor": "middle", "font-size": 10 }, ...numbers);
}

function labels({ layers, nExperts, nTokens, rest }: ExpertFlowData, { nodes, bottom }: Layout): string {
  const heads = layers.map((layer, i) =>
    label(nodes[i * nExperts]!.x + NODE / 2, BODY - 10, `layer ${layer}`, {
      "text-anchor": i === 0 ? "start" : i === layers.length - 1 ? "end" : "middle",
    }),
  );
  const beside = nodes
    .slice(0, nExperts)
    .map(({ x, y, height, row }) =>
      !hasExpertColors(nExperts) && row % 8 === 0 ? label(x - 5, y + height / 2 + 3.6, String(row)) : "",
    );
  const below = rest.map(({ tokens, links }, gap) => {
    const middle = (nodes[gap * nExperts]!.x + NODE + nodes[(gap + 1) * nExperts]!.x) / 2;
    const says = `${percent(tokens / nTokens)} in ${count(links)} ${layers.length > 5 ? "" : "small "}links`;
    return label(middle, bottom + 18, layers.length > 7 ? `${percent(tokens / nTokens)} rest` : says);
  });
  const muted = { fill: themed("muted"), "font-size": 10 };
  return [
    element("g", muted, ...heads),
    element("g", { ...muted, "text-anchor": "end" }, ...beside),
    element("g", { ...muted, "text-anchor": "middle" }, ...below),
  ].join("");
}

/** How ratios are drawn; and at the left, how high a uniform load is. */
function legend({ nExperts, nTokens, minShare }: ExpertFlowData, unit: number): string {
  const muted = { fill: themed("muted") };
  const small = { ...muted, "font-size": 10 };
  const high = (nTokens / nExperts) * unit;
  const ends = ["≤ 1 ×", `≥ ${FULL_RATIO} ×`] as const;
  // Ribbons have their experts' colours: the key shows the strength alone.
  const key = themed(hasExpertColors(nExperts) ? "muted" : "value");
  return [
    rampLegend(LEFT, TOP - 6, "tokens on a link against independent layers", ends, [FAINTEST, 1], key),
    element("rect", { x: LEFT + 610, y: TOP - 6, width: 26, height: 10, fill: themed("well") }),
    label(LEFT + 642, TOP + 3, `links < ${shareText(minShare)}`, muted),
    element("path", { d: rectPath(MARGIN + 12, BODY, 8, high), fill: themed("muted") }),
    label(MARGIN, BODY - 10, "uniform", small),
    label(MARGIN + 16, BODY + high + 13, `1/${nExperts}`, { ...small, "text-anchor": "middle" }),
  ].join("");
}

/** Below each space between columns: how much of the flow is on links with each ratio to the expected flow. */
function ratioBars({ nExperts, ratios, shuffledRatios, rest }: ExpertFlowData, { nodes, bottom }: Layout): string {
  const most = Math.max(...ratios, ...shuffledRatios);
  const y = bottom + 44 + BARS;
  const small = { fill: themed("muted"), "font-size": 10, "text-anchor": "middle" };
  const panels = rest.map((_, gap) => {
    const [from, to] = [nodes[gap * nExperts]!.x + NODE, nodes[(gap + 1) * nExperts]!.x];
    const wide = Math.min(220, to - from - 20);
    const x = (from + to - wide) / 2;
    const step = wide / RATIO_STEPS;
    const rise = (of: Float64Array, i: number): number => (of[gap * RATIO_STEPS + i]! / most) * BARS;
    const steps = [...Array(RATIO_STEPS).keys()];
    const bars = steps.map((i) => rectPath(x + i * step + 0.5, y - rise(ratios, i), step - 1, rise(ratios, i)));
    const line = steps.map((i) => `V${round(y - rise(shuffledRatios, i))}h${round(step)}`);
    const marks = ["¼ ×", "½ ×", "1 ×", "2 ×", "4 ×"].map((text, i) =>
      wide > 100 || i % 2 === 0 ? label(x + (i * wide) / 4, y + 12, text, small) : "",
    );
    return [
      element("path", { d: bars.join(""), fill: themed("value"), "fill-opacity": 0.6 }),
      element("path", { d: `M${round(x)} ${y}${line.join("")}V${y}`, fill: "none", stroke: themed("ink") }),
      element("path", { d: `M${round(x)} ${y}h${round(wide)}M${round(x + wide / 2)} ${y}v4`, stroke: themed("muted") }),
      ...marks,
    ].join("");
  });
  const heading = { fill: themed("muted"), "font-size": 10 };
  return (
    label(MARGIN, y - BARS + 8, "flow by", heading) +
    label(MARGIN, y - BARS + 21, "ratio", heading) +
    label(MARGIN, y - BARS + 40, `0–${percent(most)}`, heading) +
    panels.join("")
  );
}
