import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll } from "vitest";
import type { Figure } from "../../viz/figure.ts";

let browser: Browser;

beforeAll(async () => {
  browser = await chromium.launch({
    executablePath: process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium",
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"],
  });
});

afterAll(() => browser.close());

/** What a page did that it should not have. */
interface Watched {
  page: Page;
  faults: string[];
}

/** Puts html into a page, as a notebook does, and watches it. */
export async function open(html: string, options: BrowserContextOptions = {}): Promise<Watched> {
  const context = await browser.newContext({ viewport: { width: 1000, height: 900 }, ...options });
  const page = await context.newPage();
  const faults: string[] = [];
  page.on("console", (message) => faults.push(`console: ${message.text()}`));
  page.on("pageerror", (error) => faults.push(`error: ${error.message}`));
  page.on("dialog", (dialog) => void dialog.dismiss().then(() => faults.push(`dialog: ${dialog.message()}`)));
  page.on("request", (request) => {
    if (!request.url().startsWith("data:")) faults.push(`request: ${request.url()}`);
  });
  await page.setContent(`<!doctype html><body>${html}</body>`);
  return { page, faults };
}

export function htmlOf(figure: Figure): string {
  return figure.bundle()["text/html"]!;
}

/** Moves the pointer to a place in the picture, in the picture's own pixels. */
export async function point(page: Page, x: number, y: number): Promise<void> {
  const box = (await page.locator("figure .picture").first().boundingBox())!;
  const scale = box.width / 840;
  await page.mouse.move(box.x + x * scale, box.y + y * scale);
}

/** What the tooltip says, or null where none is shown. */
export async function tip(page: Page): Promise<string | null> {
  const shown = page.locator("figure .tip.on");
  return (await shown.count()) === 0 ? null : (await shown.innerText()).replaceAll(/\s+/g, " ").trim();
}
