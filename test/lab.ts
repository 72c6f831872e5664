import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { expect } from "vitest";
// @ts-expect-error: plain JavaScript, so that the set-up needs nothing
import { jupyterEnv } from "../scripts/jupyter.mjs";

export const root = fileURLToPath(new URL("..", import.meta.url));
export const cache = join(root, ".cache");
const screenshots = join(cache, "screenshots");

/** Milliseconds for what a busy machine may take long for. */
export const LIMIT = 300_000;

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
export interface Complaints {
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
export interface Outputs {
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
const LOOK = (area: string): string => `(() => {
  const all = (selector) => [...document.querySelectorAll("${area} " + selector)];
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

/** @param area where outputs stand: JupyterLab's, or those of another page */
export function look(page: Page, area = ".jp-OutputArea"): () => Promise<Outputs> {
  return () => page.evaluate<Outputs>(LOOK(area));
}

/** JupyterLab and a browser, for the notebooks of one folder. */
export class Lab {
  readonly #server: ChildProcess;
  readonly #browser: Browser;
  readonly #address: URL;

  private constructor(server: ChildProcess, browser: Browser, address: URL) {
    this.#server = server;
    this.#browser = browser;
    this.#address = address;
  }

  /** Starts a JupyterLab as `npm start -- --no-browser` gives it, at the address that it prints. */
  static async start(notebook: string): Promise<Lab> {
    const server = spawn(process.execPath, ["scripts/start.mjs", "--no-browser", notebook], {
      cwd: root,
      stdio: ["ignore", "pipe", "inherit"],
    });
    for await (const line of createInterface(server.stdout)) {
      const [, address] = /^JupyterLab is open at (\S+)/.exec(line) ?? [];
      if (address === undefined) continue;
      const browser = await chromium.launch({ executablePath: findChromium(), args: CHROMIUM_ARGS });
      return new Lab(server, browser, new URL(address));
    }
    throw new Error("JupyterLab did not start; what it printed is above");
  }

  context(colorScheme: "light" | "dark", javaScriptEnabled = true): Promise<BrowserContext> {
    return this.#browser.newContext({ viewport: VIEWPORT, colorScheme, javaScriptEnabled });
  }

  /** Opens a notebook of the folder in a workspace of its own, so that the reader's open tabs stay as they are. */
  async open(name: string, colorScheme: "light" | "dark"): Promise<{ page: Page; complaints: Complaints }> {
    const page = await (await this.context(colorScheme)).newPage();
    const complaints = watch(page, this.#address.origin);
    const folder = new URL("../workspaces/test/tree/", this.#address);
    await page.goto(`${folder.href}${encodeURIComponent(name)}${this.#address.search}&reset`);
    await page.locator(".jp-Notebook .jp-CodeCell").first().waitFor({ timeout: LIMIT });
    await page.getByText(/^\S+ \| Idle$/).waitFor({ timeout: LIMIT });
    return { page, complaints };
  }

  async stop(): Promise<void> {
    await this.#browser.close();
    if (this.#server.exitCode !== null) return;
    this.#server.kill("SIGTERM");
    await once(this.#server, "exit");
  }
}

/** Runs a command of Jupyter's in the project's own surroundings. */
export function jupyter(...command: string[]): void {
  const ran = spawnSync(join(root, ".venv", "bin", "python"), ["-m", ...command], {
    cwd: root,
    env: { ...process.env, ...(jupyterEnv as Record<string, string>) },
    encoding: "utf8",
  });
  expect(ran.status, ran.stderr).toBe(0);
}

/** Whether JupyterLab shows itself on a light ground. */
export function isLight(page: Page): Promise<boolean> {
  return page.evaluate<boolean>("document.body.dataset.jpThemeLight === 'true'");
}

/** Marks a notebook as received from a stranger: JupyterLab trusts what it ran itself. */
export function distrust(path: string): void {
  const notebook = JSON.parse(readFileSync(path, "utf8")) as { metadata: object };
  writeFileSync(path, JSON.stringify({ ...notebook, metadata: { ...notebook.metadata, received: true } }));
}

/** Where the notebook ends on the page, once the cells that JupyterLab draws late are there. */
async function endOf(page: Page): Promise<number> {
  const last = page.locator(".jp-Notebook .jp-Cell").last();
  const measured: number[] = [];
  await expect
    .poll(
      async () => {
        const { y, height } = (await last.boundingBox())!;
        measured.push(y + height);
        return measured.at(-1) === measured.at(-2);
      },
      { timeout: LIMIT, interval: 400 },
    )
    .toBe(true);
  return measured.at(-1)!;
}

export async function screenshot(page: Page, name: string): Promise<void> {
  mkdirSync(screenshots, { recursive: true });
  const height = Math.min(VIEWPORT.height, Math.ceil(await endOf(page)) + 60);
  await page.screenshot({
    path: join(screenshots, `${name}.png`),
    clip: { x: 0, y: 0, width: VIEWPORT.width, height },
  });
}
