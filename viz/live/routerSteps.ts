import type { RouterStepsLive } from "../contract.ts";
import { percent, probability, quoted, real } from "../format.ts";
import { partsOfSum, routeToken } from "../routeToken.ts";
import { BAR, COLUMNS, stepText } from "../stepText.ts";
import { rectPath } from "../svg.ts";
import { make } from "./make.ts";
import type { View } from "./stage.ts";

const COLUMN_NAMES = ["logit", "softmax", "top-k", "weight", "weighted sum"];

/** The steps one by one, with another k and with noise on the logits. */
export function routerSteps(live: RouterStepsLive): View {
  const { experts, gating } = live;
  const block = live.blocks[0]!;
  const nExperts = live.logits.length;
  let [k, noise, draw, step] = [live.topK, 0, 1, COLUMNS.length - 1];
  let now = compute();

  /** All steps with the chosen k and noise; the parts of the sum only where every chosen expert's output is known. */
  function compute(): ReturnType<typeof routeToken> & { logits: number[]; parts: number[] | null; length: number } {
    const random = normals(draw);
    const logits = live.logits.map((logit) => logit + noise * random());
    const steps = routeToken(logits, k, gating);
    if (live.gram.length === 0) return { ...steps, logits, parts: null, length: Number.NaN };
    const known = steps.chosen.map((e) => live.computed.indexOf(e));
    if (known.includes(-1)) return { ...steps, logits, parts: known.map(() => Number.NaN), length: Number.NaN };
    const gram = known.flatMap((a) => known.map((b) => live.gram[a * live.computed.length + b]!));
    return { ...steps, logits, ...partsOfSum(steps.weights, gram) };
  }

  const text = (column: number, expert: number): string =>
    stepText(COLUMNS[column]!, { ...now, nExperts, topK: k }, gating, expert);

  function paint(svg: SVGSVGElement): void {
    const [topLogit, topProb] = [Math.max(...now.logits.map(Math.abs)) || 1, Math.max(...now.probs)];
    const set = (column: number, row: number, value: number, share: number, words: string): void => {
      const group = svg.querySelector(`.step${column}`)!;
      group.querySelectorAll(".n")[row]!.textContent = words;
      const bar = group.querySelectorAll(".bar")[row];
      if (bar === undefined) return;
      const x = block.x + column * BAR.pitch;
      const wide = Math.min(1, Math.abs(share)) * (column === 0 ? BAR.room / 2 : BAR.room);
      const from = column === 0 ? x + BAR.room / 2 : x;
      bar.setAttribute("x", String(column === 0 && value < 0 ? from - wide : from));
      bar.setAttribute("width", String(wide));
      bar.setAttribute("fill", `var(--${value < 0 ? "negative" : "value"})`);
      group.querySelectorAll(".none")[row]?.setAttribute("opacity", words === "" || words === "not known" ? "1" : "0");
    };
    for (const [row, expert] of experts.entries()) {
      const rank = now.chosen.indexOf(expert);
      const [logit, p] = [now.logits[expert]!, now.probs[expert]!];
      set(0, row, logit, logit / topLogit, real(logit));
      set(1, row, p, p / topProb, probability(p));
      set(2, row, 0, 0, rank < 0 ? "·" : `● rank ${rank + 1}`);
      const weight = rank < 0 ? 0 : now.weights[rank]!;
      set(3, row, weight, weight, rank < 0 ? "" : probability(weight));
      const part = rank < 0 || now.parts === null ? null : now.parts[rank]!;
      const isKnown = part !== null && !Number.isNaN(part);
      set(4, row, isKnown ? part : 0, isKnown ? part : 0, part === null ? "" : isKnown ? percent(part) : "not known");
    }
    const stripes = experts.map((e, row) =>
      now.chosen.includes(e)
        ? rectPath(block.x - 64, block.y + row * block.height, COLUMNS.length * BAR.pitch + 60, block.height)
        : "",
    );
    svg.querySelector(".stripes")!.setAttribute("d", stripes.join(""));
    const uniform = block.x + BAR.pitch + BAR.room / nExperts / topProb;
    svg.querySelector(".step1 .line")!.setAttribute("d", `M${uniform} ${block.y}v${experts.length * block.height}`);
    const sum = (values: number[]): string => probability(values.reduce((a, b) => a + b, 0));
    svg.querySelector(".note2")!.textContent = `the ${k} largest`;
    svg.querySelector(".foot2")!.textContent = `Σ p = ${sum(now.chosen.map((e) => now.probs[e]!))}`;
    svg.querySelector(".foot3")!.textContent = `Σ = ${sum(now.weights)}`;
    svg.querySelector(".foot4")!.textContent =
      now.parts === null
        ? "not recorded"
        : Number.isNaN(now.length)
          ? "not known"
          : `Σ = 100 %, length ${real(now.length)}`;
    for (const [i] of COLUMNS.entries())
      svg.querySelector(`.step${i}`)!.setAttribute("opacity", i <= step ? "1" : "0.08");
  }

  return {
    read({ column, row }) {
      const expert = experts[row]!;
      const rank = now.chosen.indexOf(expert);
      const part = rank < 0 || now.parts === null ? Number.NaN : now.parts[rank]!;
      const lines = [
        { name: "logit", value: real(now.logits[expert]!) },
        {
          name: `${real(now.exps[expert]!)} over the sum ${real(now.sum)}`,
          value: `probability ${probability(now.probs[expert]!)}`,
        },
        { name: `top ${k}`, value: rank < 0 ? "not chosen" : `rank ${rank + 1}` },
        {
          name: rank < 0 ? "weight" : `over ${real(now.divisor)}`,
          value: rank < 0 ? "none" : `weight ${probability(now.weights[rank]!)}`,
        },
        {
          name: "part of the weighted sum",
          value: rank < 0 ? "not computed" : Number.isNaN(part) ? "not known" : percent(part),
        },
      ];
      return {
        head: `expert ${expert}, ${COLUMN_NAMES[column]}`,
        lines: lines.slice(0, column + 1).map((line, i) => ({ ...line, strong: i === column })),
      };
    },
    light({ row }) {
      const { x, y, height } = block;
      return [
        { d: rectPath(x - 64, y + row * height, COLUMNS.length * BAR.pitch + 60, height), stroke: "var(--muted)" },
      ];
    },
    control(svg, redraw) {
      const control = make("div", "control");
      const says = make("span", "note");
      says.setAttribute("aria-live", "polite");
      const change = (): void => {
        now = compute();
        paint(svg);
        says.textContent = `Step ${step + 1} of ${COLUMNS.length}. ${text(step, now.chosen[0]!)}`;
        redraw();
      };
      const range = (
        name: string,
        most: number,
        by: number,
        value: number,
        set: (value: number) => void,
      ): HTMLInputElement => {
        const input = make("input", name);
        Object.assign(input, {
          type: "range",
          min: by === 1 ? "1" : "0",
          max: String(most),
          step: String(by),
          value: String(value),
        });
        input.addEventListener("input", () => {
          set(Number(input.value));
          shown[name]!.textContent = input.value;
          change();
        });
        return input;
      };
      const shown: Record<string, HTMLElement> = { k: make("b", "", String(k)), noise: make("b", "", "0") };
      const slots = range("k", nExperts, 1, k, (value) => (k = value));
      const noises = range("noise", 3, 0.1, 0, (value) => (noise = value));
      const labelled = (words: string, input: HTMLElement, value: HTMLElement): HTMLElement => {
        const label = make("label", "", `${words} `);
        label.append(input, " ", value);
        return label;
      };
      const button = (words: string, act: () => void): HTMLButtonElement => {
        const made = make("button", "", words);
        made.type = "button";
        made.addEventListener("click", () => {
          act();
          change();
        });
        return made;
      };
      const reset = (): void => {
        [k, noise, step] = [live.topK, 0, COLUMNS.length - 1];
        [slots.value, noises.value] = [String(k), "0"];
        shown["k"]!.textContent = String(k);
        shown["noise"]!.textContent = "0";
      };
      control.append(
        button("‹ step back", () => (step = Math.max(0, step - 1))),
        button("next step ›", () => (step = (step + 1) % COLUMNS.length)),
        labelled("k", slots, shown["k"]!),
        labelled("noise on the logits", noises, shown["noise"]!),
        button("another draw", () => (draw += 1)),
        button(`as the model did`, reset),
        says,
      );
      control.setAttribute("aria-label", `Steps of the router for ${quoted(live.tokens[0]!)}`);
      return control;
    },
  };
}

/** Standard normal numbers, the same for the same seed (Box–Muller over a linear congruential stream). */
function normals(seed: number): () => number {
  let state = seed * 7919;
  const uniform = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state + 0.5) / 2 ** 32;
  };
  uniform();
  return () => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform());
}
