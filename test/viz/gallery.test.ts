import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../lib/backend.ts";
import { type GalleryData, galleryData } from "../../scripts/gallery/data.ts";
import { figures } from "../../scripts/gallery/figures.ts";
import { codeLines, galleryPage } from "../../scripts/gallery.ts";
import * as viz from "../../viz/index.ts";

const LINES = codeLines();

let data: GalleryData;
let made: viz.Figure[];

beforeAll(async () => {
  await useBackend();
  data = await galleryData();
  made = figures(data);
});

describe("the gallery", () => {
  test("shows every view", () => {
    const tools = ["init", "liveText", "runCurves", "show"];
    const views = Object.entries(viz)
      .filter(([name, value]) => typeof value === "function" && /^[a-z]/.test(name) && !tools.includes(name))
      .map(([name]) => name);
    expect([...new Set(LINES.map((line) => line.split("(")[0]!))].sort()).toEqual(views.sort());
  });

  test.each(LINES)("draws the shipped model's data within 300 kB: %s", (line) => {
    const figure = made[LINES.indexOf(line)]!;
    const size = Object.values(figure.bundle()).reduce((sum, part) => sum + part.length, 0);
    expect(size).toBeLessThan(300_000);
    expect(figure.svg).not.toMatch(/NaN|Infinity|undefined/);
  });

  test("has numbers that agree with each other", () => {
    // What the lens reads after the last layer is what the model predicts: its top token has rank 1 everywhere.
    const n = data.lens.pieces.length;
    expect(Array.from(data.lens.finalRank).slice(-n)).toEqual(Array.from({ length: n }, () => 1));
    const steps = viz.routerSteps(data.routing).data;
    expect(steps.difference).toBeLessThan(1e-5);
    expect(steps.parts!.reduce((sum, part) => sum + part, 0)).toBeCloseTo(1, 9);
    const uses = Array.from(data.ablation.tokens).reduce((sum, tokens) => sum + tokens, 0);
    // Each passage's tokens are all routed, and all but its first predicted.
    const routed = data.ablation.nTokens + data.ablation.perDocument.length;
    expect(uses).toBe(routed * data.ablation.layers.length * data.trace.topK);
  });
});

describe("the gallery's page", () => {
  let browser: Browser;
  let folder: string;
  let page: Page;
  const faults: string[] = [];
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "gallery-"));
    browser = await chromium.launch({
      executablePath: process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium",
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
    });
  });
  afterAll(async () => {
    await browser.close();
    rmSync(folder, { recursive: true });
  });

  test("brings every figure to life on both grounds, and asks for nothing from outside", async () => {
    const path = join(folder, "index.html");
    writeFileSync(path, galleryPage(made));
    page = await browser.newPage({ viewport: { width: 1800, height: 1000 } });
    page.on("console", (message) => faults.push(message.text()));
    page.on("pageerror", (error) => faults.push(error.message));
    page.on("request", (request) => {
      if (!/^(data:|file:)/.test(request.url())) faults.push(request.url());
    });
    await page.goto(`file://${path}`);
    expect(await page.locator(".light figure .picture").count()).toBe(LINES.length);
    expect(await page.locator(".dark figure .picture").count()).toBe(LINES.length);
    expect(await page.locator("section pre").allInnerTexts()).toEqual(LINES.map((line) => `show(${line});`));
    expect(faults).toEqual([]);
  });

  test("answers to keys in every figure, on both grounds", async () => {
    for (const figure of await page.locator("figure").all()) {
      const picture = figure.locator(".picture");
      await picture.press("Escape");
      await picture.press("ArrowRight");
      expect((await figure.locator(".tip.on").innerText()).length).toBeGreaterThan(10);
      await picture.press("Escape");
      expect(await figure.locator(".tip.on").count()).toBe(0);
    }
    expect(faults).toEqual([]);
  });

  test("has nothing serious that axe-core finds, on either ground", async () => {
    await page.addScriptTag({ path: createRequire(import.meta.url).resolve("axe-core/axe.min.js") });
    const found = await page.evaluate<
      { id: string; impact: string; nodes: { target: unknown; failureSummary: string }[] }[]
    >("axe.run(document, { resultTypes: ['violations'] }).then(({ violations }) => violations)");
    const serious = found.filter(({ impact }) => impact === "serious" || impact === "critical");
    expect(serious.map(({ id, nodes }) => [id, nodes.slice(0, 3)])).toEqual([]);
    expect(await page.evaluate("axe.version")).toMatch(/^4\./);
  }, 120_000);

  test("keeps its text legible in a column of 600 pixels, where keys reach what scrolls", async () => {
    await page.setViewportSize({ width: 600, height: 1000 });
    // Sizes as they are seen: the computed one, scaled as its picture is.
    const sizes = await page.evaluate<number[]>(`[...document.querySelectorAll("figure > div")].map((host) => {
      const picture = host.shadowRoot.querySelector(".picture");
      const scale = picture.getBoundingClientRect().width / picture.viewBox.baseVal.width;
      const texts = [...picture.querySelectorAll("text, tspan")];
      return scale * Math.min(...texts.map((text) => parseFloat(getComputedStyle(text).fontSize)));
    })`);
    expect(sizes).toHaveLength(2 * LINES.length);
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(10);
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(600);
    const rules = '["scrollable-region-focusable"]';
    const { passes, violations } = await page.evaluate<Record<"passes" | "violations", { nodes: unknown[] }[]>>(
      `axe.run(document, { runOnly: ${rules} })`,
    );
    expect(violations).toEqual([]);
    expect(passes[0]!.nodes.length).toBeGreaterThanOrEqual(2 * LINES.length);
  });
});
