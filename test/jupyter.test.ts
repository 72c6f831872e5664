import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

const root = fileURLToPath(new URL("..", import.meta.url));
const notebooks = readdirSync(join(root, "notebooks")).filter((name) => name.endsWith(".ipynb"));
const cache = join(root, ".cache");
const screenshots = join(cache, "screenshots");

/** Milliseconds for what a busy machine may take long for. */
const LIMIT = 300_000;

/** Tall, since JupyterLab renders only the cells in sight. */
const VIEWPORT = { width: 1280, height: 15_000 };

/** Headless as root, and without the requests that a browser makes for itself. */
const CHROMIUM_ARGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

function findChromium(): string {
  const asked = process.env["CHROMIUM_PATH"];
  if (asked) return asked;
  for (const name of ["chromium", "chromium-browser", "google-chrome"]) {
    const found = spawnSync("which", [name], { encoding: "utf8" });
    if (found.status === 0) return found.stdout.trim();
  }
  throw new Error(
    "this test needs Chromium: install it (Debian and Ubuntu: apt-get install chromium) or set CHROMIUM_PATH",
  );
}

/** What a page did that it should not: errors, and requests to a host other than JupyterLab's. */
interface Complaints {
  errors: string[];
  strangers: string[];
}

function watch(page: Page, origin: string): Complaints {
  const complaints: Complaints = { errors: [], strangers: [] };
  page.on("console", (message) => {
    if (message.type() === "error") complaints.errors.push(message.text());
  });
  page.on("pageerror", (error) => complaints.errors.push(String(error)));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol.startsWith("http") && url.origin !== origin) complaints.strangers.push(url.href);
  });
  return complaints;
}

/** What stands in the outputs of an open notebook. */
interface Outputs {
  figures: number;
  /** Static pictures, and how many of them show nothing. */
  pictures: number;
  broken: number;
  /** Figures that a script has drawn. */
  drawn: number;
  scripts: number;
  /** What the cells printed as errors. */
  stderr: string;
}

/** Runs in the page, as text because its types are those of a browser. */
const LOOK = `(() => {
  const all = (selector) => [...document.querySelectorAll(".jp-OutputArea " + selector)];
  const pictures = all('figure img[src^="data:"]');
  const isDrawn = (figure) =>
    [figure, ...figure.querySelectorAll("*")].some((node) => (node.shadowRoot ?? node).querySelector("svg, canvas"));
  return {
    figures: all("figure").length,
    pictures: pictures.length,
    broken: pictures.filter((picture) => !picture.complete || picture.naturalWidth === 0).length,
    drawn: all("figure").filter(isDrawn).length,
    scripts: all("script").length,
    stderr: all('[data-mime-type="application/vnd.jupyter.stderr"]').map((node) => node.textContent).join(""),
  };
})()`;

const look = (page: Page) => (): Promise<Outputs> => page.evaluate<Outputs>(LOOK);

/** Figures in the outputs of a notebook file. */
function figuresIn(path: string): number {
  const { cells } = JSON.parse(readFileSync(path, "utf8")) as {
    cells: { outputs?: { data?: Record<string, unknown> }[] }[];
  };
  const html = cells
    .flatMap((cell) => cell.outputs ?? [])
    .map((output) => JSON.stringify(output.data?.["text/html"] ?? ""));
  return html.filter((text) => text.includes("<figure")).length;
}

/** A JupyterLab as `npm start -- --no-browser` gives it, with the address that it prints. */
async function startLab(notebook: string): Promise<{ lab: ChildProcess; address: URL }> {
  const lab = spawn(process.execPath, ["scripts/start.mjs", "--no-browser", notebook], {
    cwd: root,
    stdio: ["ignore", "pipe", "inherit"],
  });
  for await (const line of createInterface(lab.stdout)) {
    const [, address] = /^JupyterLab is open at (\S+)/.exec(line) ?? [];
    if (address !== undefined) return { lab, address: new URL(address) };
  }
  throw new Error("JupyterLab did not start; what it printed is above");
}

/** Opens a notebook in a workspace of its own, so that the reader's open tabs stay as they are. */
async function open(context: BrowserContext, address: URL): Promise<{ page: Page; complaints: Complaints }> {
  const page = await context.newPage();
  const complaints = watch(page, address.origin);
  await page.goto(`${address.href.replace("/lab/tree/", "/lab/workspaces/test/tree/")}&reset`);
  await page.locator(".jp-Notebook .jp-CodeCell").first().waitFor({ timeout: LIMIT });
  await page.getByText(/^\S+ \| Idle$/).waitFor({ timeout: LIMIT });
  return { page, complaints };
}

/** Runs all cells and saves. */
async function runAll(page: Page): Promise<void> {
  await page.getByRole("menuitem", { name: "Run", exact: true }).click();
  await page.getByRole("menuitem", { name: "Run All Cells", exact: true }).click();
  const prompts = page.locator(".jp-CodeCell .jp-InputArea-prompt");
  // After an error the kernel leaves the cells that follow without a number.
  const settled = async (): Promise<boolean> =>
    (await look(page)()).stderr !== "" || (await prompts.allTextContents()).every((prompt) => /\[\d+\]/.test(prompt));
  await expect.poll(settled, { timeout: LIMIT, interval: 200 }).toBe(true);
  expect((await look(page)()).stderr).toBe("");
  await page.keyboard.press("Control+s");
  await page.getByText("Saving completed").waitFor({ timeout: LIMIT });
}

async function screenshot(page: Page, name: string): Promise<void> {
  const end = await page.locator(".jp-Notebook .jp-Cell").last().boundingBox();
  const height = Math.min(VIEWPORT.height, Math.ceil(end!.y + end!.height) + 60);
  await page.screenshot({
    path: join(screenshots, `${name}.png`),
    clip: { x: 0, y: 0, width: VIEWPORT.width, height },
  });
}

test("there is a notebook to look at", () => {
  expect(notebooks).toContain("01-first-look.ipynb");
});

describe.each(notebooks)("%s in JupyterLab", { timeout: LIMIT }, (name) => {
  const title = basename(name, ".ipynb");
  // One folder deep, like the notebooks, so that relative paths to the model hold; never the committed file itself.
  const copy = join(cache, name);
  let lab: ChildProcess;
  let address: URL;
  let browser: Browser;
  /** Figures in the notebook once it has run. */
  let figures: number;

  const context = (colorScheme: "light" | "dark"): Promise<BrowserContext> =>
    browser.newContext({ viewport: VIEWPORT, colorScheme });

  beforeAll(async () => {
    mkdirSync(screenshots, { recursive: true });
    copyFileSync(join(root, "notebooks", name), copy);
    browser = await chromium.launch({ executablePath: findChromium(), args: CHROMIUM_ARGS });
    ({ lab, address } = await startLab(copy));
  }, LIMIT);

  afterAll(async () => {
    await browser?.close();
    if (lab?.exitCode === null) {
      lab.kill("SIGTERM");
      await once(lab, "exit");
    }
    rmSync(copy, { force: true });
  }, LIMIT);

  test("runs every cell, and every figure's script draws", async () => {
    const { page, complaints } = await open(await context("light"), address);
    await runAll(page);
    figures = figuresIn(copy);
    expect(figures).toBeGreaterThan(0);
    await expect
      .poll(look(page), { timeout: LIMIT })
      .toMatchObject({ figures, drawn: figures, pictures: 0, stderr: "" });
    await screenshot(page, `${title}-run-light`);
    expect(complaints).toEqual({ errors: [], strangers: [] });
  });

  test("draws again when it is opened again, on a dark ground", async () => {
    const { page, complaints } = await open(await context("dark"), address);
    await expect.poll(look(page), { timeout: LIMIT }).toMatchObject({ figures, drawn: figures, pictures: 0 });
    await screenshot(page, `${title}-run-dark`);
    expect(complaints).toEqual({ errors: [], strangers: [] });
  });

  test("stands as static pictures where it is not trusted, on a light and on a dark ground", async () => {
    // JupyterLab trusts what it ran itself; a changed file is a stranger's.
    const notebook = JSON.parse(readFileSync(copy, "utf8")) as { metadata: object };
    writeFileSync(copy, JSON.stringify({ ...notebook, metadata: { ...notebook.metadata, received: true } }));
    for (const scheme of ["light", "dark"] as const) {
      const { page, complaints } = await open(await context(scheme), address);
      await expect
        .poll(look(page), { timeout: LIMIT })
        .toMatchObject({ figures, pictures: figures, broken: 0, drawn: 0, scripts: 0 });
      expect(await page.evaluate("document.body.dataset.jpThemeLight")).toBe(String(scheme === "light"));
      await screenshot(page, `${title}-untrusted-${scheme}`);
      expect(complaints).toEqual({ errors: [], strangers: [] });
    }
  });
});
