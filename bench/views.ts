/**
 * Opens attention views of growing tensors in Chromium, ours beside CircuitsVis and BertViz on the same numbers, and our
 * routing grid of 327,680 choices: `npx tsx bench/views.ts [--python PYTHON] [--modules FOLDER] [--runs 5]`. PYTHON has
 * circuitsvis, bertviz and torch; FOLDER is a node_modules with requirejs 2.3, d3 5.7 and jquery 2, which BertViz asks a
 * host for and is given from there. Without PYTHON only ours are measured. Runs are interleaved; a view that is not drawn
 * within three minutes is given up, and so are its larger inputs. Where other programs use the processor too, times are
 * long; what the browser itself used of it (Linux tells) stands beside them. Of a hover, processor time is told by part, and
 * the time until its frame is seen. The first line is an empty page, on which one word changes: what any page pays.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { type Browser, chromium, type Page } from "playwright-core";
import { attentionOf, largeTrace } from "../test/viz/samples.ts";
import { attentionHeads, attentionMap, type Figure, routingGrid } from "../viz/index.ts";
import { type Hover, hovering } from "./hovering.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string" },
    modules: { type: "string" },
    runs: { type: "string", default: "5" },
    heads: { type: "string", default: "32" },
    tokens: { type: "string", default: "32,64,128,256,512" },
  },
});
const RUNS = Number(values.runs);
const HEADS = Number(values.heads);

/** Milliseconds within which a view must stand. */
const PATIENCE = 180_000;

/** What is drawn once a view stands, as a selector that goes into shadow roots too. */
const DRAWN: Record<string, string> = {
  circuitsvis: "[id^=circuits-vis] canvas, [id^=circuits-vis] img",
  "bertviz-head": "#vis svg line",
  "bertviz-model": "#vis svg line",
  ours: "figure .picture",
};

/** Where BertViz has its scripts from, and the file that is given to it. */
const SERVED: [RegExp, string][] = [
  [/require/, "requirejs/require.js"],
  [/d3/, "d3/dist/d3.min.js"],
  [/jquery/, "jquery/dist/jquery.min.js"],
];

interface Opened {
  /** Milliseconds from navigation to the first paint of anything, and to the frame after the view is drawn. */
  paint: number;
  drawn: number;
  /** Milliseconds of processor time that the browser's processes used until then. */
  used: number;
}

/** Milliseconds of processor time of every process below one, by its id. @see proc(5), stat: utime and stime in ticks of 10 ms */
function processorTimes(root: number): Map<number, number> {
  const processes = readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const fields = readFileSync(`/proc/${name}/stat`, "utf8")
          .replace(/^.*\) /s, "")
          .split(" ");
        return [{ id: Number(name), parent: Number(fields[1]), ms: 10 * (Number(fields[11]) + Number(fields[12])) }];
      } catch {
        return [];
      }
    });
  const below = new Set([root]);
  for (let size = 0; size < below.size; ) {
    size = below.size;
    for (const { id, parent } of processes) if (below.has(parent)) below.add(id);
  }
  return new Map(processes.filter(({ id }) => below.has(id)).map(({ id, ms }) => [id, ms]));
}

/** Processor time used since an earlier look. */
function usedSince(before: Map<number, number>): number {
  let sum = 0;
  for (const [id, ms] of processorTimes(server.process().pid!)) sum += ms - (before.get(id) ?? 0);
  return sum;
}

async function openOnce(browser: Browser, path: string, drawn: string): Promise<{ page: Page; opened: Opened }> {
  const context = await browser.newContext({ viewport: { width: 1200, height: 1500 } });
  const page = await context.newPage();
  page.setDefaultTimeout(PATIENCE);
  await page.route(/^https?:/, async (route) => {
    const served = SERVED.find(([name]) => name.test(new URL(route.request().url()).pathname));
    if (served === undefined || values.modules === undefined) await route.abort();
    else await route.fulfill({ path: join(values.modules, served[1]), contentType: "text/javascript" });
  });
  const before = processorTimes(server.process().pid!);
  await page.goto(pathToFileURL(path).href, { waitUntil: "commit" });
  await page.locator(drawn).first().waitFor({ state: "attached" });
  const times = await page.evaluate<Omit<Opened, "used">>(`new Promise((done) => requestAnimationFrame(() => {
    const channel = new MessageChannel();
    channel.port1.onmessage = () => done({
      paint: performance.getEntriesByType("paint")[0]?.startTime ?? NaN,
      drawn: performance.now(),
    });
    channel.port2.postMessage(0);
  }))`);
  return { page, opened: { ...times, used: usedSince(before) } };
}

const median = (numbers: number[]): number => numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]!;

interface Entry {
  name: string;
  input: string;
  path: string;
  drawn: string;
}

const EMPTY = "an empty page";

/** What is told of a hover, in milliseconds: processor time by part, then how long until it is seen. */
const HOVER = ["script", "layout", "paint", "raster", "draw", "latency"] as const;

/** Pages that cannot be opened any more, by the name of the tool. */
const dead = new Set<string>();
const folder = mkdtempSync(join(tmpdir(), "moescope-views-"));
const rows: string[] = [];

function ours(name: string, input: string, figure: Figure): Entry {
  const path = join(folder, `${name.replaceAll(/\W+/g, "-")}-${input.replaceAll(/\W+/g, "-")}.html`);
  figure.saveHtml(path);
  return { name, input, path, drawn: DRAWN["ours"]! };
}

/** The pages that other tools make of a tensor, as far as they can make any. */
function theirs(pattern: Float32Array, nTokens: number): Entry[] {
  const alive = Object.keys(DRAWN).filter((name) => name !== "ours" && !dead.has(name));
  if (values.python === undefined || alive.length === 0) return [];
  const tensor = join(folder, "pattern.f32");
  writeFileSync(tensor, new Uint8Array(pattern.buffer));
  const script = new URL("views_peer.py", import.meta.url).pathname;
  try {
    execFileSync(values.python, [script, tensor, String(HEADS), String(nTokens), folder, ...alive], { stdio: "pipe" });
  } catch (error) {
    console.log(`at ${nTokens} tokens another tool's Python ended: ${(error as Error).message.slice(0, 300)}`);
    return [];
  }
  return alive.map((name) => {
    return { name, input: `${HEADS} × ${nTokens}²`, path: join(folder, `${name}.html`), drawn: DRAWN[name]! };
  });
}

/** Opens every page in turn, as often as asked, and adds a line to the table for each. */
async function measure(browser: Browser, entries: Entry[]): Promise<void> {
  const times = new Map<Entry, { opened: Opened; hover: Hover | null }[]>(entries.map((entry) => [entry, []]));
  for (let run = 0; run < RUNS; run++)
    for (const entry of entries) {
      if (dead.has(entry.name)) continue;
      try {
        const { page, opened } = await openOnce(browser, entry.path, entry.drawn);
        times
          .get(entry)!
          .push({ opened, hover: entry.drawn === DRAWN["ours"] ? await hovering(page, entry.drawn) : null });
        await page.context().close();
      } catch (error) {
        dead.add(entry.name);
        console.log(`${entry.name}, ${entry.input}: ${(error as Error).message.split("\n")[0]}`);
        await Promise.all(browser.contexts().map((context) => context.close().catch(() => {})));
      }
    }
  for (const [entry, all] of times) {
    const size = `${(statSync(entry.path).size / 1000).toFixed(0)} kB`;
    const ms = (pick: (one: (typeof all)[number]) => number): string =>
      all.length === 0 ? "–" : `${median(all.map(pick)).toFixed(0)} ms`;
    const opened = [ms((one) => one.opened.paint), ms((one) => one.opened.drawn), ms((one) => one.opened.used)];
    const part = (name: keyof Hover): string => median(all.map(({ hover }) => hover?.[name] ?? Number.NaN)).toFixed(1);
    const hovers = all[0]?.hover == null ? HOVER.map(() => "") : HOVER.map(part);
    const row = `| ${[entry.name, entry.input, size, ...opened, ...hovers].join(" | ")} |`;
    console.log(row);
    rows.push(row);
  }
}

const server = await chromium.launchServer({
  executablePath: process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium",
  args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
});
const browser = await chromium.connect(server.wsEndpoint());
try {
  const blank = join(folder, "blank.html");
  // One word that changes with each move: what any page pays for a hover.
  writeFileSync(
    blank,
    "<!doctype html><body><figure><svg class='picture' width='840' height='1200'><text y='20'>0</text></svg></figure>" +
      "<script>const text = document.querySelector('text');" +
      "document.querySelector('svg').onpointermove = () => { text.textContent = String(+text.textContent + 1) }</script>",
  );
  const empty = { name: EMPTY, input: "", path: blank, drawn: DRAWN["ours"]! };
  const grid = ours("routingGrid, large", "2,048 × 40 × 4", routingGrid(largeTrace(2048, 16, 4, 40), { large: true }));
  const small = ours("routingGrid", "2,048 × 4 × 4", routingGrid(largeTrace(2048, 16, 4, 4)));
  await measure(browser, [empty, grid, small]);
  for (const nTokens of values.tokens.split(",").map(Number)) {
    const attention = attentionOf(nTokens, HEADS);
    const heads = ours("attentionHeads", `${HEADS} × ${nTokens}²`, attentionHeads(attention));
    const map = ours("attentionMap", `1 × ${nTokens}²`, attentionMap(attention));
    await measure(browser, [heads, map, ...theirs(attention.pattern, nTokens)]);
  }
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true });
}
const head = [
  "view",
  "heads × tokens²",
  "html",
  "first paint",
  "drawn",
  "processor until then",
  ...HOVER.map((part) => `hover: ${part}`),
];
console.log([`| ${head.join(" | ")} |`, `|${" --- |".repeat(head.length)}`, ...rows].join("\n"));
