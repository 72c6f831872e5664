import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  CHROMIUM_ARGS,
  cache,
  distrust,
  findChromium,
  isLight,
  LIMIT,
  look,
  open,
  root,
  screenshot,
  startLab,
  VIEWPORT,
} from "./lab.ts";

const notebooks = readdirSync(join(root, "notebooks")).filter((name) => name.endsWith(".ipynb"));

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
    mkdirSync(cache, { recursive: true });
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
    expect(figures).toBe(figuresIn(join(root, "notebooks", name)));
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
    distrust(copy);
    for (const scheme of ["light", "dark"] as const) {
      const { page, complaints } = await open(await context(scheme), address);
      await expect
        .poll(look(page), { timeout: LIMIT })
        .toMatchObject({ figures, pictures: figures, broken: 0, drawn: 0, scripts: 0 });
      expect(await isLight(page)).toBe(scheme === "light");
      await screenshot(page, `${title}-untrusted-${scheme}`);
      expect(complaints).toEqual({ errors: [], strangers: [] });
    }
  });
});
