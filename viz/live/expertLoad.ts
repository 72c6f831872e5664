import type { ExpertLoadLive } from "../contract.ts";
import { count, percent } from "../format.ts";
import { rectPath } from "../svg.ts";
import type { View } from "./stage.ts";

/** Pointing at a bar shows its numbers, and outlines the same expert in every layer. */
export function expertLoad(live: ExpertLoadLive): View {
  return {
    read({ column: expert, row }) {
      const uses = live.counts[row * live.nExperts + expert]!;
      const share = uses / live.assignments;
      const band = share < live.low ? "below" : share > live.high ? "above" : "within";
      return {
        head: `layer ${live.layers[row]}, expert ${expert}`,
        lines: [
          {
            name: "load",
            value: percent(share),
            strong: true,
            ...(live.colors === null ? {} : { swatch: live.colors[expert]! }),
          },
          { name: "assignments", value: `${count(uses)} of ${count(live.assignments)}` },
          { name: "uniform", value: percent(1 / live.nExperts) },
          { name: `${band} the 95 % band`, value: `${percent(live.low)} to ${percent(live.high)}` },
        ],
      };
    },
    light: ({ column }) =>
      live.blocks.map(({ x, y, width, height }) => ({
        d: rectPath(x + column * width, y, width, height),
        stroke: "var(--muted)",
      })),
  };
}
