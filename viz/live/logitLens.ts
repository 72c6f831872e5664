import type { LogitLensLive } from "../contract.ts";
import { count, probability, quoted } from "../format.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";
import type { Line } from "./tip.ts";

/** Pointing at a cell lists its most probable tokens, and outlines every cell with the same top token. */
export function logitLens(live: LogitLensLive): View {
  const { rows, nTop, names, tokens, blocks, start } = live;
  const [top, probs, isNext] = [unpack(live.top), unpack(live.probs), unpack(live.isNext)];
  const ranks = live.finalRank === null ? null : unpack(live.finalRank);
  const n = rows.length;
  const best = (column: number, row: number): number => top[(column * n + row) * nTop]!;
  return {
    read({ column, row }) {
      const cell = column * n + row;
      const lines = Array.from(
        { length: nTop },
        (_, k): Line => ({
          name: quoted(names[top[cell * nTop + k]!]!),
          value: probability(probs[cell * nTop + k]!),
          strong: k === 0,
        }),
      );
      const last = best(column, n - 1);
      const rank =
        ranks === null ? [] : [{ name: `rank of ${quoted(names[last]!)}`, value: count(Math.round(ranks[cell]!)) }];
      return {
        head: `after ${start + column} ${quoted(tokens[column]!)}, ${rows[row]}`,
        lines: [
          ...lines,
          {
            name: "the last layer's token",
            value: best(column, row) === last ? "already" : `will be ${quoted(names[last]!)}`,
          },
          { name: "really next in the text", value: isNext[cell] === 1 ? "yes" : "no" },
          ...rank,
          { name: "a guess", value: `1 in ${count(live.dVocab)}` },
        ],
      };
    },
    light({ column, row }) {
      const mine = best(column, row);
      let d = "";
      for (const { x, y, width, height, columns, column: from } of blocks)
        for (let i = 0; i < columns; i++)
          for (let r = 0; r < n; r++)
            if (best(from + i, r) === mine)
              d += rectPath(x + i * width, y + (n - 1 - r) * height, width - 1, height - 1);
      return [{ d, stroke: "var(--ink)", width: 1 }];
    },
  };
}
