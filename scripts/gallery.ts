// Builds a page with every view on the shipped model's own data, on a light and on a dark ground: npm run gallery
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath, pathToFileURL } from "node:url";
import { useBackend } from "../lib/backend.ts";
import { THEMES, type Theme } from "../viz/colors.ts";
import type { Figure } from "../viz/index.ts";
import { escapeText } from "../viz/svg.ts";
import { galleryData } from "./gallery/data.ts";
import { figures } from "./gallery/figures.ts";

/** The line of gallery/figures.ts that makes each figure. */
export function codeLines(): string[] {
  const source = readFileSync(new URL("./gallery/figures.ts", import.meta.url), "utf8");
  const list = source.slice(source.indexOf("Figure[] => ["));
  return [...list.matchAll(/^ {2}(\w+\(.*\)),$/gm)].map((match) => match[1]!.replaceAll("]!", "]"));
}

/**
 * The whole page, which forbids itself every request.
 * @throws Error where a figure is not made in one line
 */
export function galleryPage(made: readonly Figure[]): string {
  const lines = codeLines();
  if (lines.length !== made.length)
    throw new Error(`gallery: figures must be made one a line, got ${made.length} figures in ${lines.length} lines`);
  const sections = made.map((figure, i) => {
    const html = figure.bundle()["text/html"]!;
    const panes = (Object.keys(THEMES) as Theme[]).map((theme) => {
      const { paper, ink } = THEMES[theme];
      return `<div class="${theme}" style="background: ${paper}; color: ${ink}">${html}</div>`;
    });
    const code = escapeText(lines[i]!);
    return `<section><h2>${code.split("(")[0]!}</h2><pre tabindex="0">show(${code});</pre>${panes.join("")}</section>`;
  });
  const policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
  return [
    "<!doctype html>",
    '<html lang="en"><head><meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width"><title>moescope: every view</title>',
    "<style>body { font: 14px/1.5 system-ui, sans-serif; margin: 24px } pre { overflow: auto }",
    "section { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(860px, 100%), 1fr)); gap: 8px }",
    "h2, pre { grid-column: 1 / -1; margin: 12px 0 0 } section > div { padding: 8px; min-width: 0 }</style></head><body>",
    "<main><h1>Every view</h1><p>On the shipped model's own data (models/reference), on a light and on a dark ground.</p>",
    ...sections,
    "</main></body></html>",
  ].join("\n");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  await useBackend();
  const folder = fileURLToPath(new URL("../dist-gallery/", import.meta.url));
  mkdirSync(folder, { recursive: true });
  writeFileSync(`${folder}index.html`, galleryPage(figures(await galleryData())));
  console.log(`gallery: ${folder}index.html`);
}
