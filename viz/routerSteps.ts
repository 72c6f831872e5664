import { ShapeError } from "../lib/errors.ts";
import type { TokenPiece } from "../lib/trace/record.ts";
import { EXPERT_COLORS, hasExpertColors, themed } from "./colors.ts";
import type { Block } from "./contract.ts";
import { Figure } from "./figure.ts";
import { percent, probability, quoted, real } from "./format.ts";
import { frame, HATCH, TOP } from "./frame.ts";
import { tableOf } from "./html.ts";
import { maybeWhole } from "./options.ts";
import { type GatingRule, partsOfSum, routeToken, type TokenSteps } from "./routeToken.ts";
import { BAR, COLUMNS, type StepName, stepText } from "./stepText.ts";
import { element, label, rectPath, round } from "./svg.ts";
import { showToken } from "./tokens.ts";

/** One token at one router, as the model saw it. */
export interface TokenRouting {
  layer: number;
  /** The token's position in its sequence. */
  position: number;
  piece: TokenPiece;
  topK: number;
  /** The configuration's rule from probabilities to weights; that of a router of sigmoids is not drawn. */
  gating: GatingRule | { kind: "sigmoid" };
  /** `hook_router_logits` of the token: [n_experts]. */
  logits: ArrayLike<number>;
  /** `hook_expert_indices` and `hook_expert_weights` of the token, to compare with; left out where absent: [top_k]. */
  indices?: ArrayLike<number>;
  weights?: ArrayLike<number>;
  /** `hook_expert_out` of the token, in the order of `indices`; without it the sum is not drawn: [top_k, d_model]. */
  outputs?: ArrayLike<number>;
}

export interface RouterStepsOptions {
  /** Rows: the experts with the largest logits; the others share a line. 24 where absent. */
  rows?: number;
}

/** What the steps draw. */
export interface RouterStepsData extends TokenSteps {
  layer: number;
  position: number;
  nExperts: number;
  topK: number;
  logits: number[];
  /** Largest difference between these weights and the model's; null where they were not given. */
  difference: number | null;
  /** Each chosen expert's part of the output, summing to 1, in the order of `chosen`; null without outputs. */
  parts: number[] | null;
  /** Length of the weighted sum; null without outputs. */
  length: number | null;
}

const LEFT = 76;
const ROW = 20;
const BODY = TOP + 52;

/**
 * One token's way through a router, step by step, with the model's own numbers.
 *
 * A row is an expert, a column a step: its logit; softmax gives its probability (the line is uniform, 1 / n_experts); the
 * top_k are ranked; their probabilities are scaled to weights by the model's rule; and the experts' outputs, weighted, are
 * added up: a bar is the expert's part of that sum, w (E · y) / (y · y), which may be negative. The subtitle says how far the
 * weights are from those that the model applied. Experts that were not chosen have no weight and computed no output: hatched, which
 * is not zero. In the notebook the steps can be walked through, and k and noise on the logits changed; an expert that the
 * model did not ask then has a weight but no output, and says so.
 * @throws ShapeError for arrays of another size; RangeError for a logit, weight or output that is not finite, a top_k that
 * is none, or indices that are not the top_k of the logits
 * @example show(routerSteps({ layer, position, piece, topK: 4, gating: model.config.mlp.gating, logits, indices, weights, outputs }))
 */
export function routerSteps(routing: TokenRouting, options: RouterStepsOptions = {}): Figure<RouterStepsData> {
  const { data, gram } = gather(routing);
  const gating = ruleOf(routing);
  const { layer, position, nExperts, topK, logits, difference } = data;
  const nRows = maybeWhole("routerSteps", "rows", options.rows, Math.min(topK, nExperts), 64, 24);
  const rows = shownRows(logits, nRows);
  const token = showToken(routing.piece);
  const title = `How layer ${layer} routes ${quoted(token.string)} at position ${position}, step by step`;
  const agrees = difference === null ? "" : `; weights differ from the model's by at most ${real(difference)}`;
  const subtitle = `${topK} of ${nExperts} experts; uniform probability ${probability(1 / nExperts)}${agrees}`;
  const description = `${subtitle}. ${describe(data)}`;
  const block: Block = {
    x: LEFT,
    y: BODY,
    width: BAR.pitch,
    height: ROW,
    columns: COLUMNS.length,
    rows: rows.length,
    column: 0,
    row: 0,
  };
  const others = nExperts - rows.length;
  return new Figure(data, {
    title,
    summary: description,
    caption: COLUMNS.map((name, i) => `${i + 1}. ${stepText(name, data, gating, data.chosen[0]!)}`).join(" "),
    svg: frame({
      title,
      subtitle,
      description,
      height: BODY + rows.length * ROW + (others > 0 ? 54 : 40),
      body: draw(data, rows, gating),
    }),
    table: tableOf(["expert", "logit", "probability", "rank", "weight", "part of the sum"], nExperts, (i) => {
      const expert = shownRows(logits, nExperts)[i]!;
      const rank = data.chosen.indexOf(expert);
      return [
        String(expert),
        real(logits[expert]!),
        probability(data.probs[expert]!),
        rank < 0 ? "not chosen" : String(rank + 1),
        rank < 0 ? "none" : probability(data.weights[rank]!),
        rank < 0 ? "not computed" : data.parts === null ? "not recorded" : percent(data.parts[rank]!),
      ];
    }),
    live: {
      view: "routerSteps",
      blocks: [block],
      tokens: [token.string],
      start: position,
      layer,
      experts: rows,
      logits,
      topK,
      gating,
      computed: gram === null ? [] : data.chosen,
      gram: gram === null ? [] : gram.map((g) => Number(g.toPrecision(6))),
      colors: hasExpertColors(nExperts) ? EXPERT_COLORS.slice(0, nExperts) : null,
    },
  });
}

/** @throws RangeError for a router of sigmoids, whose probabilities are no shares */
function ruleOf({ gating }: TokenRouting): GatingRule {
  if (gating.kind !== "sigmoid") return gating;
  throw new RangeError("routerSteps: gating must be a rule on the softmax of the logits, got sigmoid");
}

function gather(routing: TokenRouting): { data: RouterStepsData; gram: number[] | null } {
  const where = "routerSteps";
  const { layer, position, outputs } = routing;
  const gating = ruleOf(routing);
  const logits = finiteOf("logits", routing.logits);
  const nExperts = logits.length;
  const topK = maybeWhole(where, "topK", routing.topK, 1, nExperts, 1);
  const steps = routeToken(logits, topK, gating);
  const indices = routing.indices === undefined ? steps.chosen : Array.from(routing.indices);
  const weights = routing.weights === undefined ? null : finiteOf("weights", routing.weights);
  if (indices.length !== topK || (weights !== null && weights.length !== topK))
    throw new ShapeError(
      `${where}: indices and weights must be [top_k] = [${topK}], got ${indices.length} and ${weights?.length ?? topK}`,
    );
  const slots = steps.chosen.map((expert) => indices.indexOf(expert));
  if (slots.includes(-1))
    throw new RangeError(
      `${where}: indices must be the ${topK} experts with the largest logits (${steps.chosen.join(", ")}), got ${indices.join(", ")}`,
    );
  const difference =
    weights === null
      ? null
      : steps.weights.reduce((most, w, i) => Math.max(most, Math.abs(w - weights[slots[i]!]!)), 0);
  const gram = outputs === undefined ? null : gramOf(finiteOf("outputs", outputs), slots);
  const sum = gram === null ? null : partsOfSum(steps.weights, gram);
  const data = {
    layer,
    position,
    nExperts,
    topK,
    logits,
    ...steps,
    difference,
    parts: sum?.parts ?? null,
    length: sum?.length ?? null,
  };
  return { data, gram };
}

function finiteOf(what: string, values: ArrayLike<number>): number[] {
  const numbers = Array.from(values);
  const wrong = numbers.find((value) => !Number.isFinite(value));
  if (wrong !== undefined) throw new RangeError(`routerSteps: ${what} must be finite, got ${wrong}`);
  if (numbers.length === 0) throw new ShapeError(`routerSteps: ${what} must hold numbers, got none`);
  return numbers;
}

/** Products of the outputs with each other, in the order of the chosen: [top_k, top_k]. */
function gramOf(outputs: readonly number[], slots: readonly number[]): number[] {
  const width = outputs.length / slots.length;
  if (!Number.isInteger(width))
    throw new ShapeError(
      `routerSteps: outputs must be [top_k, d_model] = [${slots.length}, n], got ${outputs.length} numbers`,
    );
  const row = (slot: number): readonly number[] => outputs.slice(slot * width, (slot + 1) * width);
  return slots.flatMap((a) => slots.map((b) => row(a).reduce((sum, x, i) => sum + x * row(b)[i]!, 0)));
}

/** The experts with the largest logits, by number where all have a row, else best first. */
function shownRows(logits: readonly number[], most: number): number[] {
  if (logits.length <= most) return [...logits.keys()];
  return [...logits.keys()].sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, most);
}

function describe({ chosen, probs, weights, length }: RouterStepsData): string {
  const mass = chosen.reduce((sum, e) => sum + probs[e]!, 0);
  const list = chosen.map((e, i) => `${e} (${probability(probs[e]!)} → ${probability(weights[i]!)})`);
  const sum = length === null ? "" : ` The weighted sum has length ${real(length)}.`;
  return `Chosen, probability → weight: ${list.join(", ")}; together ${percent(mass)} of the probability.${sum}`;
}

const HEADINGS: Record<StepName, string> = {
  logit: "1 logit",
  softmax: "2 softmax",
  topK: "3 top-k",
  weight: "4 weight",
  sum: "5 weighted sum",
};

function draw(data: RouterStepsData, rows: readonly number[], gating: GatingRule): string[] {
  const { nExperts, probs, chosen } = data;
  const bottom = BODY + rows.length * ROW;
  const muted = { fill: themed("muted"), "font-size": 10 };
  const others = nExperts - rows.length;
  const otherMass = probs.reduce((sum, p, e) => sum + (rows.includes(e) ? 0 : p), 0);
  const names = rows.map((expert, r) => {
    const y = BODY + r * ROW;
    const color = hasExpertColors(nExperts) ? EXPERT_COLORS[expert]! : themed("value");
    return (
      element("rect", { x: LEFT - 60, y: y + 5, width: 10, height: 10, rx: 2, fill: color }) +
      label(LEFT - 44, y + 14, String(expert), { "font-weight": chosen.includes(expert) ? "bold" : null })
    );
  });
  const stripes = rows.map((expert, r) =>
    chosen.includes(expert) ? rectPath(LEFT - 64, BODY + r * ROW, COLUMNS.length * BAR.pitch + 60, ROW) : "",
  );
  const columns = COLUMNS.map((name, i) => {
    const x = LEFT + i * BAR.pitch;
    return element(
      "g",
      { class: `step step${i}` },
      label(x, BODY - 24, HEADINGS[name], { "font-weight": "bold" }),
      label(x, BODY - 10, noteOf(name, data, gating), { ...muted, class: `note${i}` }),
      columnOf(name, data, rows, x),
      label(x, bottom + 16, footOf(name, data), { ...muted, class: `foot${i}` }),
    );
  });
  return [
    label(LEFT - 60, BODY - 10, "expert", muted),
    element("path", { class: "stripes", d: stripes.join(""), fill: themed("well") }),
    ...names,
    ...columns,
    others > 0
      ? label(
          LEFT - 60,
          bottom + 34,
          `${others} experts with smaller logits are not shown: ${percent(otherMass)} of the probability`,
          muted,
        )
      : "",
  ];
}

/** What stands under a heading: how the numbers come about. */
function noteOf(name: StepName, { topK, nExperts }: RouterStepsData, gating: GatingRule): string {
  if (name === "logit") return "router · token";
  if (name === "softmax") return `line: 1/${nExperts}`;
  if (name === "topK") return `the ${topK} largest`;
  if (name === "sum") return "part of the output";
  if (gating.kind === "topKThenSoftmax") return "softmax of these";
  return gating.normalize === null
    ? "left as they are"
    : gating.normalize === 1
      ? "scaled to sum 1"
      : `scaled, p = ${gating.normalize}`;
}

/** What a column adds up to. */
function footOf(name: StepName, { chosen, probs, weights, length }: RouterStepsData): string {
  const sum = (values: number[]): string => probability(values.reduce((a, b) => a + b, 0));
  if (name === "softmax") return `Σ = ${sum(probs)}`;
  if (name === "topK") return `Σ p = ${sum(chosen.map((e) => probs[e]!))}`;
  if (name === "weight") return `Σ = ${sum(weights)}`;
  if (name === "sum") return length === null ? "not recorded" : `Σ = 100 %, length ${real(length)}`;
  return "";
}

/** A column's bars and numbers; the browser's script rewrites them by their classes, row by row. */
function columnOf(name: StepName, data: RouterStepsData, rows: readonly number[], x: number): string {
  const { logits, probs, chosen, weights, parts, nExperts } = data;
  const bar = (r: number, from: number, to: number, negative = false): string =>
    element("rect", {
      class: "bar",
      x: x + Math.min(from, to),
      y: BODY + r * ROW + 6,
      width: Math.abs(to - from),
      height: 8,
      fill: themed(negative ? "negative" : "value"),
    });
  const number = (r: number, text: string): string =>
    label(x + BAR.number, BODY + r * ROW + 14, text, { class: "n", "font-size": 10, "text-anchor": "end" });
  const hatch = (r: number, shown: boolean): string =>
    element("rect", {
      class: "none",
      x,
      y: BODY + r * ROW + 3,
      width: BAR.room,
      height: ROW - 6,
      fill: HATCH,
      opacity: shown ? 1 : 0,
    });
  const most = { logit: Math.max(...logits.map(Math.abs)) || 1, p: Math.max(...probs), w: 1, part: 1 };
  const cells = rows.map((expert, r) => {
    const rank = chosen.indexOf(expert);
    const is = rank >= 0;
    if (name === "logit") {
      const zero = BAR.room / 2;
      const end = zero + (logits[expert]! / most.logit) * zero;
      return bar(r, zero, end, logits[expert]! < 0) + number(r, real(logits[expert]!));
    }
    if (name === "softmax")
      return bar(r, 0, (probs[expert]! / most.p) * BAR.room) + number(r, probability(probs[expert]!));
    if (name === "topK") return number(r, is ? `● rank ${rank + 1}` : "·");
    if (name === "weight")
      return (
        hatch(r, !is) + bar(r, 0, is ? weights[rank]! * BAR.room : 0) + number(r, is ? probability(weights[rank]!) : "")
      );
    const part = is && parts !== null ? parts[rank]! : null;
    return (
      hatch(r, part === null) +
      bar(r, 0, Math.min(1, Math.abs(part ?? 0)) * BAR.room, (part ?? 0) < 0) +
      number(r, part === null ? "" : percent(part))
    );
  });
  const height = rows.length * ROW;
  const lines = {
    logit: `M${x + BAR.room / 2} ${BODY}v${height}`,
    softmax: `M${round(x + BAR.room / nExperts / most.p)} ${BODY}v${height}`,
    topK: "",
    weight: "",
    sum: "",
  }[name];
  return (
    cells.join("") +
    (lines === ""
      ? ""
      : element("path", {
          class: "line",
          d: lines,
          stroke: themed("ink"),
          "stroke-dasharray": "3 2",
          "stroke-width": 0.8,
        }))
  );
}
