import type { CoactivationLive } from "../contract.ts";
import { count, percent, real, times } from "../format.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";

/** Pointing at a cell shows the pair beside what chance gives, and outlines both experts' rows and columns. */
export function coactivation(live: CoactivationLive): View {
  const { experts, nTokens } = live;
  const [together, expected, beyond] = [unpack(live.together), unpack(live.expected), unpack(live.beyond)];
  const n = experts.length;
  const { x, y, width, height } = live.blocks[0]!;
  return {
    read({ column, row }) {
      const [high, low] = [Math.max(row, column), Math.min(row, column)];
      const at = (high * (high - 1)) / 2 + low;
      const [a, b] = [experts[row]!, experts[column]!];
      const of = (i: number): string => `${count(live.counts[i]!)} tokens, ${percent(live.counts[i]! / nTokens)}`;
      const swatch = (e: number): { swatch?: string } => (live.colors === null ? {} : { swatch: live.colors[e]! });
      const loads = [
        { name: `expert ${a}`, value: of(row), ...swatch(a) },
        ...(a === b ? [] : [{ name: `expert ${b}`, value: of(column), ...swatch(b) }]),
      ];
      if (a === b) return { head: `expert ${a}`, lines: loads };
      const [seen, chance] = [Math.round(together[at]!), expected[at]!];
      return {
        head: `experts ${a} and ${b}`,
        lines: [
          { name: "tokens that use both", value: `${count(seen)} = ${percent(seen / nTokens)}`, strong: true },
          { name: "expected for these loads", value: `${real(chance)} = ${percent(chance / nTokens)}` },
          {
            name: beyond[at] === 1 ? "beyond the 95 % of chance" : "within the 95 % of chance",
            value: times(seen / chance),
          },
          { name: `of ${a}’s tokens, on ${b} too`, value: percent(seen / live.counts[row]!) },
          ...loads,
        ],
      };
    },
    light({ column, row }) {
      const line = (i: number): string =>
        rectPath(x, y + i * height, n * width, height) + rectPath(x + i * width, y, width, n * height);
      return [
        { d: line(row) + line(column), stroke: "var(--muted)", width: 0.8 },
        { d: rectPath(x + row * width, y + column * height, width, height), stroke: "var(--accent)" },
      ];
    },
  };
}
