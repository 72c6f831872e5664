/** How an arc of attention lies, in the static picture and under the pointer alike. */
export interface Arc {
  d: string;
  width: number;
  opacity: number;
}

/**
 * The arc from a row to one above it, bulging to the left the further apart they are.
 * @param x where rows begin
 * @param from,to heights of the rows' middles
 * @param weight 0 to 1
 */
export function arcOf(x: number, from: number, to: number, weight: number): Arc {
  const bulge = Math.min(x - 24, 12 + Math.abs(from - to) * 0.55);
  const round = (n: number): number => Math.round(n * 10) / 10;
  const [left, y0, y1] = [round(x - bulge), round(from), round(to)];
  return {
    d: `M${x} ${y0}C${left} ${y0} ${left} ${y1} ${x} ${y1}`,
    width: round(0.6 + 5 * weight),
    opacity: Math.round((0.15 + 0.75 * Math.sqrt(weight)) * 100) / 100,
  };
}
