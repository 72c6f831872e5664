// Writes the tables of hooks and of families into README.md, each between its two markers: npm run readme
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { shapeText } from "../lib/axes.ts";
import { HOOKS } from "../lib/hooks.ts";
import { familyRows } from "./families.ts";
import { markdownTable } from "./markdownTable.ts";

const README = new URL("../README.md", import.meta.url);

/** The tables by the markers that they stand between. */
const TABLES: Record<string, () => string[][]> = {
  "hooks: made from lib/hooks.ts": hookRows,
  "families: made from docs/parity.json and published configurations": familyRows,
};

function hookRows(): string[][] {
  const rows = Object.entries(HOOKS).map(([name, { shape, dtype, meaning }]) => {
    const type = dtype === "float32" ? "" : ` ${dtype}`;
    return [`\`${name}\``, `\`${shapeText(shape)}\`${type}`, meaning];
  });
  return [["hook", "shape", "what it is"], ...rows];
}

/** The README with its tables as they are now. */
export function withTables(readme: string): string {
  return Object.entries(TABLES).reduce((text, [marker, rows]) => {
    const begin = `<!-- ${marker} by npm run readme -->`;
    const end = `<!-- /${marker.split(":")[0]} -->`;
    const [before, rest] = text.split(begin);
    const after = rest?.split(end)[1];
    if (before === undefined || after === undefined) throw new Error(`README.md must hold ${begin} … ${end}`);
    return `${before}${begin}\n\n${markdownTable(rows())}\n\n${end}${after}`;
  }, readme);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  writeFileSync(README, withTables(readFileSync(README, "utf8")));
