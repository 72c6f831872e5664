import type { TextActivationsLive } from "../contract.ts";
import { quoted, real } from "../format.ts";
import { shadeOf } from "../shade.ts";
import { unpack } from "../unpack.ts";
import { make } from "./make.ts";
import type { View } from "./stage.ts";

/** The coloured text, with a picker for the neuron. */
export function textActivations(live: TextActivationsLive): View {
  const values = unpack(live.values);
  const n = live.computed.length;
  const place = new Map(live.computed.map((token, i) => [token, i]));
  let neuron = live.neuron;
  const row = (j: number): Float64Array =>
    values.subarray(live.neurons.indexOf(j) * n, (live.neurons.indexOf(j) + 1) * n);
  const peak = (j: number): number => row(j).reduce((most, v) => Math.max(most, Math.abs(v)), 0);

  const paint = (svg: SVGSVGElement): void => {
    const most = peak(neuron);
    const grounds = svg.querySelectorAll(".ground");
    const signs = svg.querySelectorAll(".sign");
    for (const [i, value] of row(neuron).entries()) {
      const { role, opacity, lineOpacity, dash } = shadeOf(value, most);
      grounds[i]!.setAttribute("fill", `var(--${role})`);
      grounds[i]!.setAttribute("fill-opacity", String(opacity));
      signs[i]!.setAttribute("stroke", `var(--${role})`);
      signs[i]!.setAttribute("stroke-dasharray", dash ?? "none");
      signs[i]!.setAttribute("stroke-opacity", String(lineOpacity));
    }
    svg.querySelector(".low")!.textContent = real(-most);
    svg.querySelector(".high")!.textContent = real(most);
    svg.querySelector(".title")!.textContent =
      `Layer ${live.layer}, expert ${live.expert}, neuron ${neuron}: its value on each token`;
  };

  return {
    read({ column }) {
      const i = place.get(column);
      const head = `${live.start + column} ${quoted(live.tokens[column]!)}`;
      if (i === undefined)
        return { head, lines: [{ name: "not computed", value: `not routed to expert ${live.expert}` }] };
      const strongest = live.neurons
        .slice()
        .sort((a, b) => Math.abs(row(b)[i]!) - Math.abs(row(a)[i]!))
        .slice(0, 4);
      return {
        head,
        lines: [
          { name: `neuron ${neuron}`, value: real(row(neuron)[i]!), strong: true },
          ...strongest
            .filter((j) => j !== neuron)
            .map((j) => ({ name: `strongest here: ${j}`, value: real(row(j)[i]!) })),
        ],
      };
    },
    light: () => [],
    control(svg, redraw) {
      const control = make("div", "control");
      const number = make("input", "number");
      number.type = "number";
      number.min = "0";
      number.max = String(live.dFf - 1);
      number.value = String(neuron);
      const list = make("select", "list");
      for (const j of live.neurons.slice(0, 24)) list.add(new Option(`${j}: up to ${real(peak(j))}`, String(j)));
      const note = make("span", "note");
      const pick = (text: string): void => {
        const asked = Number(text);
        const here = text !== "" && live.neurons.includes(asked);
        note.textContent = here ? "" : `neuron ${text} is not in this figure`;
        if (!here) return;
        neuron = asked;
        number.value = text;
        list.value = text;
        paint(svg);
        redraw();
      };
      list.value = String(neuron);
      number.addEventListener("input", () => pick(number.value));
      list.addEventListener("change", () => pick(list.value));
      control.append(labelled("neuron", number), labelled("strongest", list), note);
      return control;
    },
  };
}

function labelled(name: string, input: HTMLElement): HTMLLabelElement {
  const label = make("label", "", `${name} `);
  label.append(input);
  return label;
}
