import { ticks } from "d3";
import { listed } from "../lib/errors.ts";
import { type Chance, simulate } from "../lib/metrics/chance.ts";
import { choices } from "../lib/metrics/choices.ts";
import { jensenShannon } from "../lib/metrics/jensenShannon.ts";
import { checkLabels, domainLabels, type Labels } from "../lib/metrics/labels.ts";
import { shuffle } from "../lib/metrics/random.ts";
import { groupCounts, unitsOf } from "../lib/metrics/units.ts";
import type { RoutingTrace } from "../lib/trace/record.ts";
import { EXPERT_COLORS, hasExpertColors, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { count, percent, real, times } from "./format.ts";
import { frame, MARGIN, TOP, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { maybeWhole } from "./options.ts";
import { packReal } from "./pack.ts";
import { element, escapeText, label, rectPath, round } from "./svg.ts";
import { layerRow } from "./traceWindow.ts";

export interface DomainSpecializationOptions {
  /** The model's layer number; the first traced layer where absent. */
  layer?: number;
  /** Groups of tokens; the trace's own domains where absent. What is shuffled is the labels' unit: texts, or single tokens. */
  labels?: Labels;
  /** Shuffles behind the chance bands; 400 where absent. */
  draws?: number;
}

/** What the domain panels draw. Shares are of assignments (token and slot), so that each domain's sum to 1. */
export interface DomainSpecializationData {
  layer: number;
  nExperts: number;
  topK: number;
  domains: string[];
  /** Tokens, and units that carry one label each, of every domain: [n_domains]. */
  nTokens: number[];
  nUnits: number[];
  unit: Labels["unit"];
  /** [n_domains, n_experts] */
  share: Float64Array;
  /** Share over all tokens: [n_experts]. */
  pooled: Float64Array;
  /** The central 95 % of shares when units carry the same labels in random order: [n_domains, n_experts]. */
  low: Float64Array;
  high: Float64Array;
  /** Jensen–Shannon divergence of the domains in bits, and what shuffled labels give. */
  divergence: number;
  chance: Chance;
}

/** Bars that one figure can hold within 300 kB. */
const MOST_BARS = 1024;

const LEFT = 62;
const TALL = 84;
const STEP = TALL + 54;

/**
 * How each kind of text uses the experts of a layer differently from all texts together.
 *
 * A panel is a domain, a bar an expert: its share of the domain's assignments (token and slot) less its pooled share over
 * all tokens, in percentage points; up for more, down for less, in two colours. The grey band is the central 95 % of what
 * the same texts give with their labels shuffled, for a sample of that size: bars beyond are full in colour, those within
 * pale. The short line is where a uniform share, 1 / n_experts, would stand. All panels share one scale.
 * @throws RangeError for a layer that was not traced, labels that are not the trace's or have fewer than two units in a
 * domain, or more bars than fit
 * @example show(domainSpecialization(trace, { layer: 2, labels: moe.domainLabels(trace) }))
 */
export function domainSpecialization(
  trace: RoutingTrace,
  options: DomainSpecializationOptions = {},
): Figure<DomainSpecializationData> {
  const data = gather(trace, options);
  const { layer, nExperts, topK, domains, divergence, chance } = data;
  const layout = layOut(data);
  const beyond = Array.from(data.share.keys()).filter((i) => isBeyond(data, i)).length;
  const title = `How each kind of text uses the experts of layer ${layer}`;
  const subtitle =
    `${domains.length} kinds, ${topK} of ${nExperts} experts each; ${count(beyond)} of ${count(data.share.length)} bars beyond the shuffled 95 %; ` +
    `divergence ${divergence.toFixed(3)} bits, shuffled ${chance.mean.toFixed(3)}`;
  const description = `${subtitle}. ${describe(data)}`;
  const what = data.unit === "sequence" ? "whole texts" : "single tokens";
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A bar is how much more or less of a kind's assignments (token and slot) an expert takes than of all texts together, in " +
      `percentage points. Grey: 95 % of what shuffling the labels of ${what} gives, so about one bar in twenty is beyond it by chance. ` +
      `Short lines: a uniform share, 1/${nExperts}. Divergence: Jensen–Shannon, 0 to ${real(Math.log2(domains.length))} bits.`,
    svg: frame({ title, subtitle, description, height: layout.height, body: draw(data, layout) }),
    table: tableOf(
      ["kind", "expert", "share", "pooled", "shuffled 95 %", "ratio to pooled"],
      data.share.length,
      (i) => [
        domains[Math.floor(i / nExperts)]!,
        String(i % nExperts),
        percent(data.share[i]!),
        percent(data.pooled[i % nExperts]!),
        `${percent(data.low[i]!)} to ${percent(data.high[i]!)}`,
        times(data.share[i]! / data.pooled[i % nExperts]!),
      ],
    ),
    live: {
      view: "domainSpecialization",
      blocks: layout.blocks,
      tokens: [],
      start: 0,
      domains,
      nTokens: data.nTokens,
      nExperts,
      share: packReal(data.share),
      pooled: packReal(data.pooled),
      low: packReal(data.low),
      high: packReal(data.high),
      colors: hasExpertColors(nExperts) ? EXPERT_COLORS.slice(0, nExperts) : null,
    },
  });
}

function gather(trace: RoutingTrace, options: DomainSpecializationOptions): DomainSpecializationData {
  const where = "domainSpecialization";
  const { nExperts, topK } = trace;
  const labels = options.labels ?? domainLabels(trace);
  checkLabels(where, trace, labels);
  const draws = maybeWhole(where, "draws", options.draws, 2, 100_000, 400);
  const row = layerRow(where, trace.layers, options.layer);
  const { layer, experts } = choices(where, trace)[row]!;
  const units = unitsOf(where, trace, experts, labels);
  const domains = labels.names;
  if (domains.length * nExperts > MOST_BARS)
    throw new RangeError(
      `${where}: labels must have at most ${Math.floor(MOST_BARS / nExperts)} kinds for ${nExperts} experts, got ${listed(domains)}`,
    );
  const counts = groupCounts(units, units.group, domains.length, nExperts);
  const order = Int32Array.from(units.group);
  const chances = simulate(
    "shuffled",
    (uniform) => {
      shuffle(order, uniform);
      const drawn = groupCounts(units, order, domains.length, nExperts);
      const cells = drawn.flatMap((group, d) => Array.from(shareOf(group), (s, e) => [`${d} ${e}`, s] as const));
      return { ...Object.fromEntries(cells), divergence: jensenShannon(drawn) };
    },
    { draws, seed: 1 },
  ) as Record<string, Chance>;
  const cell = (i: number): Chance => chances[`${Math.floor(i / nExperts)} ${i % nExperts}`]!;
  const share = Float64Array.from(counts.flatMap((group) => [...shareOf(group)]));
  const sizeOf = (of: Int32Array, domain: number): number => of.reduce((n, group) => n + Number(group === domain), 0);
  return {
    layer,
    nExperts,
    topK,
    domains,
    nTokens: domains.map((_, d) => sizeOf(labels.of, d)),
    nUnits: domains.map((_, d) => sizeOf(units.group, d)),
    unit: labels.unit,
    share,
    pooled: shareOf(
      Float64Array.from({ length: nExperts }, (_, e) => counts.reduce((sum, group) => sum + group[e]!, 0)),
    ),
    low: share.map((_, i) => cell(i).low),
    high: share.map((_, i) => cell(i).high),
    divergence: jensenShannon(counts),
    chance: chances["divergence"]!,
  };
}

function shareOf(counts: Float64Array): Float64Array {
  const total = counts.reduce((sum, n) => sum + n, 0);
  return counts.map((n) => n / total);
}

function isBeyond({ share, low, high }: DomainSpecializationData, i: number): boolean {
  return share[i]! < low[i]! || share[i]! > high[i]!;
}

/** The bar furthest above its pooled share, in each domain. */
function describe({ domains, nExperts, share, pooled }: DomainSpecializationData): string {
  const most = domains.map((domain, d) => {
    const own = Array.from(share.subarray(d * nExperts, (d + 1) * nExperts), (s, e) => s - pooled[e]!);
    const top = own.indexOf(Math.max(...own));
    const at = share[d * nExperts + top]!;
    return `${domain}: expert ${top} with ${percent(at)}, ${times(at / pooled[top]!)} as pooled`;
  });
  return `Most above: ${most.join("; ")}.`;
}

interface Layout {
  blocks: Block[];
  /** Differences at the lower and upper end of every panel. */
  least: number;
  most: number;
  height: number;
}

/** Two panels beside each other while bars stay wide enough. */
function layOut(data: DomainSpecializationData): Layout {
  const { domains, nExperts, pooled } = data;
  const across = nExperts <= 32 ? 2 : 1;
  const gap = 56;
  const room = (WIDTH - LEFT - MARGIN - (across - 1) * gap) / across;
  const blocks = domains.map((_, d) => ({
    x: LEFT + (d % across) * (room + gap),
    y: TOP + 36 + Math.floor(d / across) * STEP,
    width: room / nExperts,
    height: TALL,
    columns: nExperts,
    rows: 1,
    column: 0,
    row: d,
  }));
  const differences = [data.share, data.low, data.high].flatMap((of) =>
    Array.from(of, (s, i) => s - pooled[i % nExperts]!),
  );
  return {
    blocks,
    least: Math.min(0, ...differences) * 1.06,
    most: Math.max(1e-6, ...differences) * 1.06,
    height: blocks.at(-1)!.y + STEP - 16,
  };
}

function draw(data: DomainSpecializationData, layout: Layout): string[] {
  return [legend(), ...data.domains.map((_, d) => panel(data, layout, d))];
}

function panel(data: DomainSpecializationData, { blocks, least, most }: Layout, d: number): string {
  const { nExperts, pooled, domains } = data;
  const { x, y, width } = blocks[d]!;
  const down = (value: number): number => y + ((most - value) / (most - least)) * TALL;
  const inset = Math.min(2, width * 0.14);
  const bars = { above: "", below: "", paleAbove: "", paleBelow: "" };
  let [band, uniform] = ["", ""];
  for (let e = 0; e < nExperts; e++) {
    const [i, left] = [d * nExperts + e, x + e * width];
    const [low, high, value] = [data.low, data.high, data.share].map((of) => of[i]! - pooled[e]!) as [
      number,
      number,
      number,
    ];
    band += rectPath(left, down(high), width, down(low) - down(high));
    const name = isBeyond(data, i) ? (value > 0 ? "above" : "below") : value > 0 ? "paleAbove" : "paleBelow";
    bars[name] += rectPath(left + inset, down(Math.max(0, value)), width - 2 * inset, Math.abs(down(value) - down(0)));
    uniform += `M${round(left + inset)} ${round(down(1 / nExperts - pooled[e]!))}h${round(width - 2 * inset)}`;
  }
  const units = data.unit === "sequence" ? ` in ${count(data.nUnits[d]!)} texts` : "";
  return [
    element(
      "text",
      { x, y: y - 8 },
      element("tspan", { "font-weight": "bold" }, escapeText(domains[d]!)),
      element("tspan", { class: "s", "font-size": 10 }, escapeText(`  ${count(data.nTokens[d]!)} tokens${units}`)),
    ),
    element("path", { d: band, fill: themed("faint"), "fill-opacity": 0.55 }),
    axis(blocks[d]!, down, least, most),
    element(
      "g",
      { class: "marks" },
      element("path", { d: bars.paleAbove, fill: themed("positive"), "fill-opacity": 0.4 }),
      element("path", { d: bars.paleBelow, fill: themed("negative"), "fill-opacity": 0.4 }),
      element("path", { d: bars.above, fill: themed("positive") }),
      element("path", { d: bars.below, fill: themed("negative") }),
    ),
    element("path", { d: uniform, stroke: themed("ink"), "stroke-width": 1.2 }),
    element("path", {
      d: `M${x} ${round(down(0))}h${round(nExperts * width)}`,
      stroke: themed("muted"),
      "stroke-width": 0.8,
    }),
    expertNumbers(blocks[d]!, nExperts),
  ].join("");
}

/** Differences at the left, in percentage points. */
function axis({ x, width, columns }: Block, down: (value: number) => number, least: number, most: number): string {
  const marks = ticks(least, most, 4);
  const lines = marks.map((m) => `M${x} ${round(down(m))}h${round(columns * width)}`);
  const text = (m: number): string => `${m > 0 ? "+" : ""}${real(Number((m * 100).toPrecision(3)))}`;
  return (
    element("path", { d: lines.join(""), stroke: themed("faint"), "stroke-opacity": 0.6 }) +
    element(
      "g",
      { "text-anchor": "end", "font-size": 10, fill: themed("muted") },
      ...marks.map((m) => label(x - 6, down(m) + 3.5, text(m))),
    )
  );
}

function expertNumbers({ x, y, width, columns }: Block, nExperts: number): string {
  const every = [1, 2, 4, 8, 16, 32].find((step) => step * width >= 16) ?? 64;
  const shown = Array.from({ length: Math.ceil(columns / every) }, (_, i) => i * every);
  const swatch = (e: number): string =>
    hasExpertColors(nExperts)
      ? element("rect", { x: x + (e + 0.5) * width - 4, y: y + TALL + 4, width: 8, height: 5, fill: EXPERT_COLORS[e]! })
      : "";
  return element(
    "g",
    { "text-anchor": "middle", "font-size": 10, fill: themed("muted") },
    label(x - 6, y + TALL + 20, "expert", { "text-anchor": "end" }),
    ...shown.map((e) => swatch(e) + label(x + (e + 0.5) * width, y + TALL + 20, String(e))),
  );
}

function legend(): string {
  const [y, muted] = [TOP - 6, { fill: themed("muted") }];
  return [
    label(MARGIN, y + 9, "share less pooled share, in percentage points", muted),
    element("rect", { x: 330, y, width: 14, height: 10, fill: themed("positive") }),
    element("rect", { x: 346, y, width: 14, height: 10, fill: themed("negative") }),
    label(366, y + 9, "beyond shuffled labels", muted),
    element("rect", { x: 520, y, width: 22, height: 10, fill: themed("faint"), "fill-opacity": 0.55 }),
    label(548, y + 9, "95 % of shuffles", muted),
    element("path", { d: `M668 ${y + 5}h14`, stroke: themed("ink"), "stroke-width": 1.2 }),
    label(688, y + 9, "uniform share", muted),
  ].join("");
}
