import type { DomainSpecializationLive } from "../contract.ts";
import { count, percent, times } from "../format.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";

/** Pointing at a bar shows its share beside the pooled and the shuffled ones, and outlines the expert in every panel. */
export function domainSpecialization(live: DomainSpecializationLive): View {
  const [share, pooled, low, high] = [live.share, live.pooled, live.low, live.high].map(unpack) as [
    Float64Array,
    Float64Array,
    Float64Array,
    Float64Array,
  ];
  return {
    read({ column: expert, row }) {
      const i = row * live.nExperts + expert;
      const value = share[i]!;
      const band = value < low[i]! ? "below" : value > high[i]! ? "above" : "within";
      return {
        head: `${live.domains[row]}, expert ${expert}`,
        lines: [
          {
            name: "share of assignments",
            value: percent(value),
            strong: true,
            ...(live.colors === null ? {} : { swatch: live.colors[expert]! }),
          },
          { name: "pooled", value: `${percent(pooled[expert]!)}, ratio ${times(value / pooled[expert]!)}` },
          { name: `${band} shuffled labels`, value: `${percent(low[i]!)} to ${percent(high[i]!)}` },
          { name: "uniform", value: percent(1 / live.nExperts) },
          { name: "tokens", value: count(live.nTokens[row]!) },
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
