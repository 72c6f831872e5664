import type { AttentionMapLive, Shape } from "../contract.ts";
import { probability, quoted } from "../format.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";

/** Pointing at a token (column −1) or a cell shows where the row's token looks; the other rows step back. */
export function attentionMap(live: AttentionMapLive): View {
  const weights = unpack(live.weights);
  const square = live.blocks[0]!;
  const name = (position: number): string => `${live.start + position} ${quoted(live.tokens[position]!)}`;
  const rowOf = (q: number): Float64Array => weights.subarray((q * (q + 1)) / 2, ((q + 1) * (q + 2)) / 2);
  return {
    dims: true,
    read({ column: k, row: q }) {
      const row = rowOf(q);
      const even = 1 / (live.start + q + 1);
      const top = [...row.keys()].sort((a, b) => row[b]! - row[a]!).slice(0, 5);
      const looks = top.map((other) => ({ name: name(other), value: probability(row[other]!), strong: other === k }));
      if (k > q) return { head: `${name(q)} cannot look ahead to ${name(k)}`, lines: [] };
      const lines = [...looks, { name: "spread evenly", value: probability(even) }];
      if (k < 0) return { head: `${name(q)} looks at`, lines };
      const ratio = {
        name: "this cell",
        value: `${probability(row[k]!)} = ${(row[k]! / even).toFixed(1)} × even`,
        strong: true,
      };
      return { head: `${name(q)} looks at ${name(k)}`, lines: [ratio, ...lines] };
    },
    light({ row: q }) {
      const { x, y, width, height } = square;
      const cells = Array.from(
        rowOf(q),
        (weight, k): Shape => ({
          d: rectPath(x + k * width, y + q * height, width, height),
          fill: "var(--value)",
          opacity: Math.min(1, weight / live.most),
        }),
      );
      return [...cells, { d: rectPath(x, y + q * height, (q + 1) * width, height), stroke: "var(--muted)" }];
    },
  };
}
