import type { RouterHeatmapLive } from "../contract.ts";
import { probability, quoted, real } from "../format.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";

/** Pointing at a cell shows the token's choice, and outlines its row and its expert's column. */
export function routerHeatmap(live: RouterHeatmapLive): View {
  const { nExperts, topK, tokens } = live;
  const [probs, chosen, margin, entropy] = [
    unpack(live.probs),
    unpack(live.chosen),
    unpack(live.margin),
    unpack(live.entropy),
  ];
  const block = live.blocks[0]!;
  return {
    read({ column: expert, row }) {
      const p = probs.subarray(row * nExperts, (row + 1) * nExperts);
      const mine = [...chosen.subarray(row * topK, (row + 1) * topK)];
      const rank = p.filter((other) => other > p[expert]!).length + 1;
      return {
        head: `${live.start + row} ${quoted(tokens[row]!)}`,
        lines: [
          {
            name: `expert ${expert}, rank ${rank}${mine.includes(expert) ? ", chosen" : ""}`,
            value: probability(p[expert]!),
            strong: true,
          },
          { name: "uniform", value: probability(1 / nExperts) },
          ...mine.map((e) => ({ name: `● expert ${e}`, value: probability(p[e]!) })),
          { name: "margin to the next", value: Number.isNaN(margin[row]!) ? "none" : probability(margin[row]!) },
          { name: "entropy", value: `${real(entropy[row]!)} of ${real(Math.log(nExperts))} nats` },
        ],
      };
    },
    light({ column, row }) {
      const { x, y, width, height, columns, rows } = block;
      return [
        { d: rectPath(x, y + row * height, columns * width, height), stroke: "var(--muted)" },
        { d: rectPath(x + column * width, y, width, rows * height), stroke: "var(--muted)" },
      ];
    },
  };
}
