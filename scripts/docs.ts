// Writes docs/metrics.md: every metric with its formula, chance, source and an example on the shipped model: npm run docs
import { writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { exampleResults } from "./docs/examples.ts";
import { referencePage } from "./docs/page.ts";

export const PAGE = new URL("../docs/metrics.md", import.meta.url);

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href)
  writeFileSync(PAGE, referencePage(await exampleResults()));
