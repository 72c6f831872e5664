import type { DotPlotLive } from "../contract.ts";
import { rectPath } from "../svg.ts";
import type { View } from "./stage.ts";
import type { Line } from "./tip.ts";

/** Pointing at a row shows the value of every series there. */
export function dotPlot(live: DotPlotLive): View {
  return {
    read({ row }) {
      const { name, texts } = live.rows[row]!;
      const lines = texts.map(
        (text, s): Line => ({ name: live.series[s]!, value: text ?? "no value", swatch: live.colors[s]! }),
      );
      return {
        head: `${name}: ${live.quantity}`,
        lines: [...lines, ...(live.baseline === null ? [] : [{ name: live.baseline.name, value: live.baseline.text }])],
      };
    },
    light: ({ row }) =>
      live.blocks
        .filter((block) => block.row === row)
        .map(({ x, y, width, height }) => ({ d: rectPath(x, y, width, height), stroke: "var(--muted)" })),
  };
}
