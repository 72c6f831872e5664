import type { ExpertAblationLive } from "../contract.ts";
import { count, percent, real } from "../format.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";
import type { Line } from "./tip.ts";

/** Pointing at an expert shows what each way of taking it out does, and marks it in every panel. */
export function expertAblation(live: ExpertAblationLive): View {
  const { layers, nExperts, blocks } = live;
  const routed = unpack(live.routed);
  const kinds = live.kinds.map(({ name, delta, low, high }) => ({
    name,
    delta: unpack(delta),
    low: low === null ? null : unpack(low),
    high: high === null ? null : unpack(high),
  }));
  const signed = (value: number): string => (value > 0 ? "+" : "") + real(value);
  return {
    read({ column, row }) {
      const [own, layer] = [Math.floor(row / layers.length), row % layers.length];
      const i = layer * nExperts + column;
      const lines = kinds.map(({ name, delta, low, high }, kind): Line => {
        const range = low === null || high === null ? "" : ` (${signed(low[i]!)} to ${signed(high[i]!)})`;
        return {
          name,
          value: Number.isNaN(delta[i]!) ? "not run" : signed(delta[i]!) + range,
          strong: kind === own,
        };
      });
      const tokens = Math.round(routed[i]!);
      return {
        head: `layer ${layers[layer]}, expert ${column} taken out`,
        lines: [
          ...lines,
          { name: "loss with all experts", value: `${live.baseLoss.toFixed(3)} nats a token` },
          {
            name: tokens < live.minTokens ? "too few tokens use it" : "tokens that use it",
            value: `${count(tokens)} = ${percent(tokens / live.nTokens)}`,
          },
        ],
      };
    },
    light: ({ column, row }) =>
      blocks.map(({ x, y, width, height, rows }) => ({
        d: rectPath(x + column * width, y + (rows - 1 - (row % layers.length)) * height, width, height),
        stroke: "var(--ink)",
      })),
  };
}
