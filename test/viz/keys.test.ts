import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Figure } from "../../viz/index.ts";
import { HARD_TOKENS, TEXT_VIEWS, VIEWS } from "./views.ts";

let browser: Browser;
let page: Page;
let faults: string[];
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "figures-"));
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
  });
  page = await browser.newPage({ viewport: { width: 1000, height: 900 } });
  page.on("console", (message) => faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("request", (request) => {
    if (!/^(data|file):/.test(request.url())) faults.push(`request: ${request.url()}`);
  });
});

afterAll(async () => {
  await browser.close();
  rmSync(folder, { recursive: true });
});

beforeEach(() => {
  faults = [];
});

async function open(figure: Figure): Promise<void> {
  const path = join(folder, "figure.html");
  figure.saveHtml(path);
  await page.goto(`file://${path}`);
}

async function tip(): Promise<string | null> {
  const shown = page.locator("figure .tip.on");
  return (await shown.count()) === 0 ? null : (await shown.innerText()).replaceAll(/\s+/g, " ").trim();
}

describe.each(Object.keys(VIEWS))("%s", (name) => {
  test("is reached, read, kept and let go with keys alone, and speaks what it shows", async () => {
    await open(VIEWS[name]!());
    const picture = page.locator("figure .picture");
    for (let i = 0; i < 9 && !(await picture.evaluate((node) => node.matches(":focus"))); i++)
      await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowRight");
    const first = (await tip())!;
    expect(first.length).toBeGreaterThan(10);
    const spoken = await page.locator("figure .spoken").innerText();
    expect(first.startsWith(spoken.split(",")[0]!)).toBe(true);
    await page.keyboard.press("Enter");
    expect(await tip()).toContain("(kept)");
    await page.mouse.move(500, 300);
    expect(await tip()).toContain("(kept)");
    await page.keyboard.press("Escape");
    expect(await tip()).toBeNull();
    expect(faults).toEqual([]);
  });

  test("keeps with a click what a key showed, and lets it go with another", async () => {
    await open(VIEWS[name]!());
    const picture = page.locator("figure .picture");
    await picture.press("ArrowRight");
    // The accent's outline is where the cursor is.
    const cursor = page.locator('figure .lit path[stroke="var(--accent)"]').last();
    const box = (await cursor.boundingBox())!;
    const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
    await page.mouse.click(x, y);
    expect(await tip()).toContain("(kept)");
    await page.mouse.click(x, y);
    expect(await tip()).not.toContain("(kept)");
    await page.mouse.move(5, 895);
    expect(await tip()).toBeNull();
    expect(faults).toEqual([]);
  });

  test.each(["light", "dark"] as const)("saves an SVG that stands alone as XML, %s", async (theme) => {
    const path = join(folder, `${name}-${theme}.svg`);
    VIEWS[name]!().saveSvg(path, { theme });
    await page.goto(`file://${path}`);
    const seen = await page.evaluate<{
      root: string;
      broken: number;
      ids: string[];
      links: string[];
      width: number;
    }>(`({
      root: document.documentElement.nodeName,
      broken: document.querySelectorAll("parsererror").length,
      ids: [...document.querySelectorAll("[id]")].map((node) => node.id),
      links: [...document.querySelectorAll("[href]")].map((node) => node.getAttribute("href").slice(0, 5)),
      width: document.documentElement.getBoundingClientRect().width,
    })`);
    expect(seen).toMatchObject({ root: "svg", broken: 0, width: 840 });
    expect(new Set(seen.ids).size).toBe(seen.ids.length);
    expect(seen.links.filter((link) => link !== "data:")).toEqual([]);
    expect(faults).toEqual([]);
  });
});

describe.each(Object.keys(TEXT_VIEWS))("the tooltips of %s", (name) => {
  test("show hard tokens as they are, one after another", async () => {
    const { of, step } = TEXT_VIEWS[name]!;
    await open(of(HARD_TOKENS.map(({ piece }) => piece)));
    const picture = page.locator("figure .picture");
    for (const { reads } of HARD_TOKENS) {
      await picture.press(step);
      // What turns text around is isolated.
      expect((await tip())!.replaceAll(/[\u2068\u2069]/g, "")).toContain(`“${reads}”`);
    }
    expect(faults).toEqual([]);
  });
});
