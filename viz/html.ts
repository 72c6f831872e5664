import type { Live } from "./contract.ts";
import { WIDTH } from "./frame.ts";
import { LIVE_HASH, LIVE_SCRIPT } from "./liveScript.ts";
import { element, escapeText } from "./svg.ts";

/** The numbers of a figure as a table. */
export interface Table {
  columns: readonly string[];
  rows: readonly (readonly string[])[];
  /** Rows there are in all. */
  total: number;
}

/** Rows and characters that a figure's table may hold, so that an output stays small; the rest is in `figure.data`. */
const MOST_ROWS = 100;
const MOST_CHARACTERS = 20_000;

/** Builds a table of `total` rows, as far as it may go, but at least one row. */
export function tableOf(columns: readonly string[], total: number, row: (i: number) => readonly string[]): Table {
  const rows: (readonly string[])[] = [];
  for (let characters = 0; rows.length < Math.min(total, MOST_ROWS) && characters < MOST_CHARACTERS; ) {
    const cells = row(rows.length);
    rows.push(cells);
    characters += cells.join("").length;
  }
  return { columns, total, rows };
}

/** What a view hands over to become a figure. */
export interface FigureParts {
  title: string;
  /** The numbers in one line. */
  summary: string;
  /** How to read the picture: what one mark is, what colour means, the baseline. */
  caption: string;
  /** The themed picture. */
  svg: string;
  table: Table;
  live: Live;
}

/** Text below the picture, aligned with it. Each property is one that JupyterLab's sanitiser lets pass. */
const TEXT_STYLE = "margin: 4px 16px; max-width: 760px; font-size: 13px; line-height: 1.5";

/**
 * Where a figure has its script from: `each` brings it along, `once` uses the one that stands elsewhere on the page (see
 * `init`), `none` stays a picture.
 */
export type ScriptSource = "once" | "each" | "none";

/** Milliseconds after which a figure without a script says what it waits for: a page may load for some time. */
const PATIENCE = 3000;

/** What a figure carries in place of the script: it wakes where that is on the page, now or later, and else says so. */
const BOOT = [
  `(()=>{const h="${LIVE_HASH}",w=globalThis.moescope?.[h];if(w)w();else setTimeout(()=>{`,
  'for(const f of document.querySelectorAll(`figure.moescope[data-script="${h}"]`))',
  'if(f.querySelector(":scope > div > img")&&!f.querySelector(":scope > .waiting")){const p=document.createElement("p");',
  'p.className="waiting";p.textContent="This figure stays a picture until its script is here: run the cell that calls init().";',
  `f.querySelector("img").parentElement.after(p)}},${PATIENCE})})()`,
].join("");

/** The script of all figures that are made with `once`, as html that wakes every one of them on the page. */
export function scriptHtml(): string {
  return `<p>The script of the figures on this page stands here.</p><script>${LIVE_SCRIPT}</script>`;
}

/** The figure as html that survives a sanitiser: without scripts and styles, picture, caption and table stand. */
export function figureHtml(
  { title, summary, caption, svg, table, live }: FigureParts,
  source: ScriptSource = "each",
): string {
  const json = JSON.stringify(live).replaceAll("<", "\\u003c");
  const script = { once: BOOT, each: LIVE_SCRIPT, none: null }[source];
  return element(
    "figure",
    { class: "moescope", style: "margin: 0px", "data-script": script === null ? null : LIVE_HASH },
    element(
      "div",
      { style: "overflow-x: auto" },
      element("img", {
        src: `data:image/svg+xml;base64,${Buffer.from(svg).toString("base64")}`,
        alt: `${title}: ${summary}`,
        // Text keeps its size: a narrow column scrolls sideways.
        style: `min-width: ${WIDTH}px; vertical-align: bottom`,
      }),
    ),
    element("figcaption", { style: TEXT_STYLE }, escapeText(caption)),
    element("details", { style: TEXT_STYLE }, element("summary", {}, "The numbers"), tableHtml(table)),
    script === null ? "" : `<script type="application/json">${json}</script><script>${script}</script>`,
  );
}

function rowHtml(cells: readonly string[], tag: "th" | "td"): string {
  return element("tr", {}, ...cells.map((cell) => element(tag, {}, element("bdi", {}, escapeText(cell)))));
}

function tableHtml({ columns, rows, total }: Table): string {
  const table = element(
    "table",
    {},
    element("thead", {}, rowHtml(columns, "th")),
    element("tbody", {}, ...rows.map((cells) => rowHtml(cells, "td"))),
  );
  if (rows.length === total) return table;
  return table + element("p", {}, `The first ${rows.length} of ${total} rows; figure.data holds all.`);
}

/** The figure as a page of its own, which forbids itself every request. */
export function pageHtml(parts: FigureParts): string {
  const policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
  return [
    "<!doctype html>",
    '<html lang="en"><head><meta charset="utf-8">',
    `<meta http-equiv="Content-Security-Policy" content="${policy}">`,
    '<meta name="viewport" content="width=device-width"><meta name="color-scheme" content="light dark">',
    `<title>${escapeText(parts.title)}</title></head>`,
    '<body style="max-width: 880px; margin: 24px auto; font: 14px/1.5 system-ui, sans-serif">',
    figureHtml(parts),
    "</body></html>",
  ].join("\n");
}
