import type { Chance, Measure } from "../metrics/chance.ts";

/** Columns of text of one width each, a line for each row; no column is padded at the end. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, c) => Math.max(title.length, ...rows.map((row) => row[c]!.length)));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, c) => cell.padEnd(widths[c]!))
      .join("  ")
      .trimEnd();
  return [head, ...rows].map(line).join("\n");
}

/** A number in three or four digits. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "–" : `${value}`;
  return Math.abs(value) >= 1000 ? value.toFixed(0) : value.toPrecision(Math.abs(value) < 10 ? 3 : 4);
}

/** A value with the bounds of chance, and a sign where it lies above or below them. */
export function besideChance(value: number, { low, high }: Chance): string {
  const side = value > high ? " +" : value < low ? " −" : "";
  return `${figure(value)} (${figure(low)} to ${figure(high)})${side}`;
}

export const measureCell = ({ value, chance }: Measure): string => besideChance(value, chance);
