import { arcOf } from "../arc.ts";
import type { AttentionArcsLive, Shape } from "../contract.ts";
import { probability, quoted } from "../format.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";

/** Weights below this are too faint to be seen under the pointer too. */
const LEAST = 0.002;

/** Pointing at a token shows all of its arcs, and those that lead to it faintly. */
export function attentionArcs(live: AttentionArcsLive): View {
  const weights = unpack(live.weights);
  const { x, y, row, start, tokens } = live;
  const block = live.blocks[0]!;
  const name = (position: number): string => `${start + position} ${quoted(tokens[position]!)}`;
  const weight = (q: number, k: number): number => weights[(q * (q + 1)) / 2 + k]!;
  const middle = (q: number): number => y + (q + 0.5) * row;
  const keys = (q: number): number[] => [...Array(q + 1).keys()].filter((k) => k >= live.from && weight(q, k) >= LEAST);
  return {
    dims: true,
    read({ row: q }) {
      const top = keys(q).sort((a, b) => weight(q, b) - weight(q, a));
      const even = { name: "spread evenly", value: probability(1 / (start + q + 1 - live.from)) };
      if (q < live.from) return { head: `${name(q)} is left out`, lines: [] };
      return {
        head: `${name(q)} looks at`,
        lines: [...top.slice(0, 6).map((k) => ({ name: name(k), value: probability(weight(q, k)) })), even],
      };
    },
    light({ row: q }) {
      const arc = (from: number, to: number, color: string): Shape => {
        const w = weight(from, to);
        const { d, width, opacity } = arcOf(x, middle(from), middle(to), w);
        return { d, stroke: color, width, opacity };
      };
      const later = Array.from({ length: tokens.length - q - 1 }, (_, i) => q + 1 + i);
      const rows = keys(q).map(
        (k): Shape => ({
          d: rectPath(block.x + 10, y + k * row, block.width - 10, row),
          fill: "var(--value)",
          opacity: 0.5 * weight(q, k),
        }),
      );
      return [
        ...rows,
        ...(q < live.from
          ? []
          : later.filter((other) => weight(other, q) >= 0.02).map((other) => arc(other, q, "var(--muted)"))),
        ...keys(q)
          .filter((k) => k !== q)
          .map((k) => arc(q, k, "var(--value)")),
      ];
    },
  };
}
