import type { AttentionHeadsLive } from "../contract.ts";
import { percent, real } from "../format.ts";
import { scaleFills } from "../scale.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";

/** Pointing at a tile enlarges it, and compares the head with an even spread. */
export function attentionHeads(live: AttentionHeadsLive): View {
  const { heads, nHeads, side, even, large } = live;
  const steps = unpack(live.steps);
  const fills = scaleFills("var(--value)");
  const size = side * large.unit;
  return {
    read({ column, row }) {
      const { layer, head, first, previous, self, spread } = heads[row * nHeads + column]!;
      const line = (name: string, value: number, chance: number): { name: string; value: string } => ({
        name,
        value: `${percent(value)}, evenly ${percent(chance)}`,
      });
      return {
        head: `layer ${layer}, head ${head}`,
        lines: [
          line("on the first token", first, even.first),
          line("on the token before", previous, even.previous),
          line("on the token itself", self, even.self),
          { name: "spread (1 = even)", value: real(spread) },
        ],
      };
    },
    light({ column, row }) {
      const from = ((row * nHeads + column) * side * (side + 1)) / 2;
      const paths = fills.map(() => "");
      for (let q = 0, at = from; q < side; q++)
        for (let k = 0; k <= q; k++, at++)
          paths[steps[at]!] += rectPath(large.x + k * large.unit, large.y + q * large.unit, large.unit, large.unit);
      const triangle = `M${large.x} ${large.y}${`h${large.unit}v${large.unit}`.repeat(side)}H${large.x}z`;
      return [
        // What stood there, name included, gives way.
        { d: triangle, fill: "var(--paper)" },
        { d: rectPath(large.x, large.y - 22, size, 20), fill: "var(--paper)" },
        ...paths
          .map((d, step) => ({ d, fill: fills[step]!.color, opacity: fills[step]!.opacity }))
          .filter(({ d }) => d !== ""),
      ];
    },
  };
}
