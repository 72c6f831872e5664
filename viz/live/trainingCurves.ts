import type { TrainingCurvesLive } from "../contract.ts";
import { count, real } from "../format.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";
import type { Line } from "./tip.ts";

/** Pointing at a step shows all lines of the panel there, and marks the step in every panel. */
export function trainingCurves(live: TrainingCurvesLive): View {
  const n = live.first.length;
  const panels = live.panels.map((panel) => ({
    ...panel,
    mean: unpack(panel.mean),
    low: unpack(panel.low),
    high: unpack(panel.high),
  }));
  return {
    read({ column, row }) {
      const { name, baseline, layers, mean, low, high } = panels[row]!;
      const [first, last] = [live.first[column]!, live.last[column]!];
      const lines = layers.map((layer, i): Line => {
        const at = i * n + column;
        const value = real(mean[at]!);
        const range = first === last ? "" : ` (${real(low[at]!)} to ${real(high[at]!)})`;
        return {
          name: layer === null ? "mean" : `layer ${layer}`,
          value: Number.isNaN(mean[at]!) ? "not measured" : value + range,
        };
      });
      const few = lines.length > 16 ? lines.filter((_, i) => i % Math.ceil(lines.length / 12) === 0) : lines;
      return {
        head: `${name}, ${first === last ? `step ${count(first)}` : `steps ${count(first)} to ${count(last)}`}`,
        lines: [...few, ...(baseline === null ? [] : [{ name: baseline.name, value: real(baseline.value) }])],
      };
    },
    light: ({ column }) =>
      live.blocks
        .filter((block) => column >= block.column && column < block.column + block.columns)
        .map(({ x, y, width, height, column: from }) => ({
          d: rectPath(x + (column - from + 0.5) * width, y, 0, height),
          stroke: "var(--muted)",
        })),
  };
}
