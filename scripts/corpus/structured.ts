import type { Dice } from "../../lib/train/corpus/dice.ts";

/** A table: the names of its columns, and its rows as text. */
export interface Table {
  title: string;
  columns: string[];
  rows: string[][];
}

/** The table as Markdown, its columns padded to one width. */
export function markdownTable({ title, columns, rows }: Table): string {
  const widths = columns.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]!.length)));
  const line = (cells: string[]): string => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  const rule = line(widths.map((width) => "-".repeat(width)));
  return [`# ${title}`, "", line(columns), rule, ...rows.map(line)].join("\n");
}

function csvCell(text: string): string {
  return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function yamlScalar(text: string): string {
  return /^[\w ().%/-]+$/.test(text) ? text : JSON.stringify(text);
}

function jsonValue(text: string): string | number {
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
}

/** The table as comma-separated values with a header line; cells that need it are quoted. */
export function csvTable({ columns, rows }: Table): string {
  return [columns, ...rows].map((row) => row.map(csvCell).join(",")).join("\n");
}

/** The table as a YAML list of records. */
export function yamlTable({ title, columns, rows }: Table): string {
  const record = (row: string[]): string =>
    columns.map((name, i) => `${i === 0 ? "  - " : "    "}${name}: ${yamlScalar(row[i]!)}`).join("\n");
  return [`${title.toLowerCase().replaceAll(/\W+/g, "_")}:`, ...rows.map(record)].join("\n");
}

/** The table as a JSON array of records. */
export function jsonTable({ columns, rows }: Table): string {
  const records = rows.map((row) => Object.fromEntries(columns.map((name, i) => [name, jsonValue(row[i]!)])));
  return JSON.stringify(records, null, 2);
}

/** The table written in one of the four forms, drawn by the dice. */
export function writtenTable(table: Table, dice: Dice): string {
  return dice.pick([markdownTable, markdownTable, csvTable, yamlTable, jsonTable])(table);
}

/** Some of a table's rows and columns, drawn by the dice; the first two columns always stay. */
export function drawnPart(table: Table, dice: Dice): Table {
  const kept = table.columns.map((_, i) => i).filter((i) => i < 2 || dice.int(0, 2) > 0);
  const first = dice.int(0, Math.max(0, table.rows.length - 8));
  const rows = table.rows.slice(first, first + dice.int(5, 24));
  return {
    title: table.title,
    columns: kept.map((i) => table.columns[i]!),
    rows: rows.map((row) => kept.map((i) => row[i]!)),
  };
}
