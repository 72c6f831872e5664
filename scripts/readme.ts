// Writes the hook table of lib/hooks.ts into README.md, between its two markers: npm run readme
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { shapeText } from "../lib/axes.ts";
import { HOOKS } from "../lib/hooks.ts";

const README = new URL("../README.md", import.meta.url);
const BEGIN = "<!-- hooks: made from lib/hooks.ts by npm run readme -->";
const END = "<!-- /hooks -->";

function hookTable(): string {
  const rows = Object.entries(HOOKS).map(([name, { shape, dtype, meaning }]) => {
    const type = dtype === "float32" ? "" : ` ${dtype}`;
    return [`\`${name}\``, `\`${shapeText(shape)}\`${type}`, meaning];
  });
  const head = ["hook", "shape", "what it is"];
  // Columns of even width, as the formatter wants them.
  const widths = head.map((title, i) => Math.max(...[title, ...rows.map((row) => row[i]!)].map((cell) => cell.length)));
  const line = (cells: string[]): string => `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [line(head), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}

/** The README with the table that the hooks have now. */
export function withHookTable(readme: string): string {
  const [before, rest] = readme.split(BEGIN);
  const after = rest?.split(END)[1];
  if (before === undefined || after === undefined) throw new Error(`README.md must hold ${BEGIN} … ${END}`);
  return `${before}${BEGIN}\n\n${hookTable()}\n\n${END}${after}`;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  writeFileSync(README, withHookTable(readFileSync(README, "utf8")));
