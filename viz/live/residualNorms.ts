import type { ResidualNormsLive } from "../contract.ts";
import { quoted, real, times } from "../format.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";

/** Pointing at a cell compares it with its row, and lists the token's whole column. */
export function residualNorms(live: ResidualNormsLive): View {
  const { rows, median, tokens, blocks, start } = live;
  const norms = unpack(live.norms);
  const n = rows.length;
  return {
    read({ column, row }) {
      const norm = norms[column * n + row]!;
      const step = row === 0 ? [] : [{ name: `after ${rows[row - 1]}`, value: real(norms[column * n + row - 1]!) }];
      return {
        head: `${start + column} ${quoted(tokens[column]!)}, ${rows[row]}`,
        lines: [
          { name: "length", value: real(norm), strong: true },
          { name: "median of the row", value: `${real(median[row]!)}, ratio ${times(norm / median[row]!)}` },
          ...step,
        ],
      };
    },
    light({ column, row }) {
      const block = blocks.find((b) => column >= b.column && column < b.column + b.columns)!;
      const { x, y, width, height, columns } = block;
      return [
        { d: rectPath(x + (column - block.column) * width, y, width, n * height), stroke: "var(--muted)" },
        { d: rectPath(x, y + (n - 1 - row) * height, columns * width, height), stroke: "var(--muted)" },
      ];
    },
  };
}
