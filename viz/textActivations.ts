import { ShapeError } from "../lib/errors.ts";
import type { ExpertActivations } from "../lib/trace/record.ts";
import { themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { count, percent, quoted, real } from "./format.ts";
import { frame, HATCH, MARGIN, MONO, TOP } from "./frame.ts";
import { tableOf } from "./html.ts";
import { checkFinite, maybePositive, maybeWhole, maybeWindow, type WindowOptions, windowText } from "./options.ts";
import { packReal } from "./pack.ts";
import { shadeOf } from "./shade.ts";
import { element, label, rectPath, round } from "./svg.ts";
import { textBlocks } from "./textBlocks.ts";
import { showToken, type Token, tokenText } from "./tokens.ts";

export interface TextActivationsOptions extends WindowOptions {
  /** Which neuron; the one with the largest value in the window, by size, where absent. */
  neuron?: number;
  /** Share of tokens that this expert would serve by chance, top_k / n_experts; left out where absent. */
  chance?: number;
}

/** What the coloured text draws. */
export interface TextActivationsData {
  layer: number;
  expert: number;
  neuron: number;
  /** Position of the first token. */
  start: number;
  nTokens: number;
  /** 1 where the token was routed to the expert: [n_tokens]. */
  computed: Uint8Array;
  /** The neuron's value; NaN where not computed: [n_tokens]. */
  values: Float32Array;
}

/** Tokens that one figure can hold, and values that the neuron picker can take along, within 300 kB. */
const MOST_TOKENS = 256;
const MOST_VALUES = 5120;

const SIZE = 14;
const BOX = 22;
const LINE = 32;

/**
 * A text with the activations of one neuron of one expert as its ground.
 *
 * One mark is one token. Its ground is the neuron's value: from paper at 0 to one colour for positive and another for
 * negative values, strongest at the window's largest by size; a solid line under positive and a dashed one under negative
 * tokens say the sign without colour. A token that was not routed to this expert is hatched: its neurons were not
 * computed, which is not zero. The html has a picker for the other neurons.
 * @throws RangeError for a neuron or window that does not exist or fit, or a computed value that is not finite; ShapeError for values of another size
 * @example show(textActivations(activations, { neuron: 12, chance: 4 / 16 }))
 */
export function textActivations(
  activations: ExpertActivations,
  options: TextActivationsOptions = {},
): Figure<TextActivationsData> {
  const { layer, expert, dFf, pieces, values } = activations;
  const where = "textActivations";
  if (values.length !== pieces.length * dFf || activations.computed.length !== pieces.length)
    throw new ShapeError(
      `${where}: values must be [n_tokens, d_ff] = [${pieces.length}, ${dFf}], got ${values.length} numbers`,
    );
  const [start, end] = maybeWindow(where, options, pieces.length, MOST_TOKENS);
  const computed = activations.computed.slice(start, end);
  for (let t = start; t < end; t++)
    if (activations.computed[t] === 1)
      checkFinite(where, `values of token ${t}`, values.subarray(t * dFf, (t + 1) * dFf));
  const ranked = rankNeurons(activations, start, end);
  const neuron = maybeWhole(where, "neuron", options.neuron, 0, dFf - 1, ranked[0]!);
  const chance = maybePositive(where, "chance", options.chance);
  const nTokens = end - start;
  const at = (t: number, j: number): number => (computed[t] === 1 ? values[(start + t) * dFf + j]! : Number.NaN);
  const data = {
    layer,
    expert,
    neuron,
    start,
    nTokens,
    computed,
    values: Float32Array.from(computed, (_, t) => at(t, neuron)),
  };
  const served = Array.from(computed.keys()).filter((t) => computed[t] === 1);
  const tokens = pieces.slice(start, end).map(showToken);
  const blocks = textBlocks(tokens, TOP + 26, { size: SIZE, box: BOX, line: LINE });
  const title = titleOf(layer, expert, neuron);
  const byChance = chance === null ? "" : `, by chance ${percent(chance)}`;
  const subtitle = `${windowText(start, end, pieces.length)}; routed to this expert: ${count(served.length)} = ${percent(served.length / nTokens)}${byChance}`;
  const strongest = served.reduce((most, t) => Math.max(most, Math.abs(data.values[t]!)), 0);
  const picks = pickable(ranked, neuron, served.length);
  const description = `${subtitle}. ${describe(data, tokens, served)}`;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "Ground: the neuron's value on each token, one colour above zero (solid line) and one below (dashed line). " +
      "Hatched tokens were not routed to this expert, so the neuron has no value there: not computed is not zero." +
      (picks.length < dFf ? ` The picker holds the ${count(picks.length)} strongest of ${count(dFf)} neurons.` : ""),
    svg: frame({
      title,
      subtitle,
      description,
      height: blocks.at(-1)!.y + LINE + 12,
      body: draw(data, blocks, tokens, strongest),
    }),
    table: tableOf(["position", "token", `value of neuron ${neuron}`], nTokens, (t) => [
      String(start + t),
      tokens[t]!.string,
      computed[t] === 1 ? real(data.values[t]!) : "not computed",
    ]),
    live: {
      view: "textActivations",
      blocks,
      tokens: tokens.map((token) => token.string),
      start,
      layer,
      expert,
      dFf,
      neurons: picks,
      neuron,
      computed: served,
      values: packReal(picks.flatMap((j) => served.map((t) => at(t, j)))),
    },
  });
}

/** Neurons by their largest value, by size, over the window's computed tokens; ties by number. */
function rankNeurons({ dFf, computed, values }: ExpertActivations, start: number, end: number): number[] {
  const peak = new Float64Array(dFf);
  for (let t = start; t < end; t++)
    if (computed[t] === 1) for (let j = 0; j < dFf; j++) peak[j] = Math.max(peak[j]!, Math.abs(values[t * dFf + j]!));
  return Array.from(peak.keys()).sort((a, b) => peak[b]! - peak[a]! || a - b);
}

/** The neurons that the html takes along, strongest first: the drawn one, and as many as the budget allows. */
function pickable(ranked: readonly number[], neuron: number, nComputed: number): number[] {
  const most = Math.max(1, Math.floor(MOST_VALUES / Math.max(1, nComputed)));
  const kept = ranked.slice(0, most);
  return kept.includes(neuron) ? kept : [...kept.slice(0, -1), neuron];
}

function titleOf(layer: number, expert: number, neuron: number): string {
  return `Layer ${layer}, expert ${expert}, neuron ${neuron}: its value on each token`;
}

function describe(data: TextActivationsData, tokens: readonly Token[], served: readonly number[]): string {
  if (served.length === 0) return "No token of this text was routed to the expert.";
  const top = served.reduce((best, t) => (Math.abs(data.values[t]!) > Math.abs(data.values[best]!) ? t : best));
  return `Largest: ${real(data.values[top]!)} at position ${data.start + top}, ${quoted(tokens[top]!.string)}.`;
}

function draw(
  data: TextActivationsData,
  blocks: readonly Block[],
  tokens: readonly Token[],
  strongest: number,
): string[] {
  const boxes = { computed: "", absent: "" };
  for (const [t, { x, y, width, height }] of blocks.entries())
    boxes[data.computed[t] === 1 ? "computed" : "absent"] += rectPath(x, y, width, height);
  const grounds = blocks.map(({ x, y, width, height }, t) => {
    if (data.computed[t] !== 1) return "";
    const { role, opacity, lineOpacity, dash } = shadeOf(data.values[t]!, strongest);
    const line = { stroke: themed(role), "stroke-width": 2, "stroke-opacity": lineOpacity, "stroke-dasharray": dash };
    return (
      element("rect", { class: "ground", x, y, width, height, fill: themed(role), "fill-opacity": opacity }) +
      element("path", { class: "sign", d: `M${round(x)} ${y + height + 2.5}h${round(width)}`, ...line })
    );
  });
  const words = blocks.map(({ x, y, width }, t) =>
    tokenText(
      tokens[t]!,
      { x: x + 2.5, y: y + 16, ...(data.computed[t] === 1 ? { class: "on" } : { fill: themed("muted") }) },
      (width - 4) / SIZE,
    ),
  );
  return [
    legend(strongest),
    element("path", { d: boxes.absent, fill: HATCH }),
    element("path", { d: boxes.computed, fill: "none", stroke: themed("faint") }),
    element("g", {}, ...grounds),
    element("g", { "font-family": MONO, "font-size": SIZE }, ...words),
  ];
}

/** The diverging scale, with its ends as text that the picker rewrites. */
function legend(strongest: number): string {
  const [left, y] = [MARGIN + 64, TOP - 4];
  const ramp = Array.from({ length: 40 }, (_, i) => {
    const { role, opacity } = shadeOf((i - 19.5) / 19.5, 1);
    return element("rect", { x: left + i * 4, y, width: 4, height: 10, fill: themed(role), "fill-opacity": opacity });
  });
  const muted = { fill: themed("muted") };
  return [
    label(left - 6, y + 9, real(-strongest), { ...muted, "text-anchor": "end", class: "low" }),
    element("g", { "shape-rendering": "crispEdges" }, ...ramp),
    element("rect", { x: left, y, width: 160, height: 10, fill: "none", stroke: themed("faint") }),
    element("path", { d: `M${left + 80} ${y - 2}v14`, stroke: themed("ink") }),
    label(left + 166, y + 9, real(strongest), { ...muted, class: "high" }),
    element("rect", { x: left + 236, y, width: 26, height: 10, fill: HATCH, stroke: themed("faint") }),
    label(left + 268, y + 9, "not computed: the token went to other experts", muted),
  ].join("");
}
