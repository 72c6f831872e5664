/**
 * The cell of a routing grid: how one token's chosen experts stand in it. Shared by the static picture and the
 * browser's script, so that what lights up lies exactly on what was drawn.
 */
export interface CellShape {
  width: number;
  height: number;
  /**
   * 0: slices side by side, width by weight, colour by expert. Otherwise a map of all experts with so many columns:
   * expert e is the square in row ⌊e / columns⌋, column e mod columns.
   */
  mapColumns: number;
  /** Side of a map's square in pixels. */
  unit: number;
}

/** Empty space around the content of a cell, in pixels. */
const INSET = 1;

/**
 * @param slices whether colours say which expert (else position does)
 * @param compact for long texts
 */
export function cellShape(nExperts: number, slices: boolean, compact: boolean): CellShape {
  if (slices) return { width: compact ? 13 : 33, height: compact ? 13 : 20, mapColumns: 0, unit: 0 };
  const mapColumns = 2 ** Math.ceil(Math.log2(Math.sqrt(nExperts)));
  const unit = Math.max(2, Math.floor((compact ? 16 : 32) / mapColumns));
  const rows = Math.ceil(nExperts / mapColumns);
  return { width: mapColumns * unit + 4 * INSET, height: rows * unit + 4 * INSET, mapColumns, unit };
}

/** A rectangle within a cell: x, y, width, height. */
export type Rect = readonly [x: number, y: number, width: number, height: number];

/**
 * Where each chosen expert stands in its cell, slot by slot.
 * @param experts chosen experts: [top_k]
 * @param fractions weights as fractions of a full cell: [top_k]; what is not positive has no width
 */
export function cellRects(shape: CellShape, experts: ArrayLike<number>, fractions: ArrayLike<number>): Rect[] {
  const { width, height, mapColumns, unit } = shape;
  if (mapColumns > 0)
    return Array.from(experts, (expert): Rect => {
      const x = 2 * INSET + (expert % mapColumns) * unit;
      return [x, 2 * INSET + Math.floor(expert / mapColumns) * unit, unit, unit];
    });
  let x = INSET;
  return Array.from(fractions, (fraction): Rect => {
    const size = fraction > 0 ? fraction * (width - 2 * INSET) : 0;
    const rect: Rect = [x, INSET, size, height - 2 * INSET];
    x += size;
    return rect;
  });
}
