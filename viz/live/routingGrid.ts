import { cellRects } from "../cell.ts";
import type { RoutingGridLive, Shape } from "../contract.ts";
import type { GridNumbers } from "../gridCells.ts";
import { rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import { readChoice } from "./readChoice.ts";
import type { Cell, View } from "./stage.ts";

/** Pointing at a slice lights every cell whose token uses that expert in any layer shown. */
export function routingGrid(live: RoutingGridLive): View {
  const { topK, layers, blocks, shape } = live;
  const indices = unpack(live.indices);
  const weights = live.weights === null ? null : unpack(live.weights);
  const numbers: GridNumbers = { ...live, indices, weights };

  const at = (column: number, row: number): number => (column * layers.length + row) * topK;
  const experts = (column: number, row: number): Float64Array =>
    indices.subarray(at(column, row), at(column, row) + topK);
  const rects = (column: number, row: number): ReturnType<typeof cellRects> => {
    const from = at(column, row);
    const fractions = Array.from({ length: topK }, (_, k) =>
      weights === null ? 1 / topK : weights[from + k]! / live.full,
    );
    return cellRects(shape, experts(column, row), fractions);
  };
  /** The slot under the pointer, or the first. */
  const slotOf = ({ column, row, at: pointer }: Cell): number => {
    if (pointer === null) return 0;
    const hit = rects(column, row).findIndex(
      ([x, y, w, h]) => pointer.x >= x && pointer.x < x + w && pointer.y >= y && pointer.y < y + h,
    );
    return Math.max(0, hit);
  };

  return {
    dims: true,
    read: (cell) => readChoice(live, numbers, cell.column, cell.row, slotOf(cell)),
    light(cell) {
      const expert = experts(cell.column, cell.row)[slotOf(cell)]!;
      let d = "";
      for (const block of blocks)
        for (let row = 0; row < block.rows; row++)
          for (let i = 0; i < block.columns; i++) {
            const column = block.column + i;
            const slot = experts(column, row).indexOf(expert);
            if (slot < 0) continue;
            const [x, y, width, height] = rects(column, row)[slot]!;
            d += rectPath(
              block.x + i * block.width + x,
              block.y + (block.rows - 1 - row) * block.height + y,
              width,
              height,
            );
          }
      const block = blocks.find((b) => cell.column >= b.column && cell.column < b.column + b.columns)!;
      const path = rectPath(
        block.x + (cell.column - block.column) * block.width,
        block.y,
        block.width,
        block.rows * block.height,
      );
      const shapes: Shape[] = [
        { d, fill: live.colors?.[expert] ?? "var(--accent)" },
        { d: path, stroke: "var(--muted)" },
      ];
      return shapes;
    },
  };
}
