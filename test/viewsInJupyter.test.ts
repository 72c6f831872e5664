import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Figure } from "../viz/index.ts";
import { cache, distrust, isLight, jupyter, Lab, LIMIT, look, screenshot } from "./lab.ts";
import { VIEWS } from "./viz/views.ts";

const path = join(cache, "views.ipynb");
const SCHEMES = ["light", "dark"] as const;

/** A notebook whose outputs are figures, as a kernel would have left them. */
function notebookOf(made: readonly Figure[]): object {
  const cells = made.map((figure, i) => ({
    cell_type: "code",
    id: `figure-${i}`,
    execution_count: i + 1,
    metadata: {},
    source: [`show(figures[${i}]);`],
    outputs: [{ output_type: "display_data", metadata: {}, data: figure.bundle() }],
  }));
  const kernelspec = { display_name: "TypeScript", language: "typescript", name: "tslab" };
  return { cells, metadata: { kernelspec }, nbformat: 4, nbformat_minor: 5 };
}

describe("every view in a notebook", { timeout: LIMIT }, () => {
  let lab: Lab;
  let count: number;

  beforeAll(async () => {
    const made = Object.values(VIEWS).map((view) => view());
    count = made.length;
    writeFileSync(path, JSON.stringify(notebookOf(made)));
    lab = await Lab.start(path);
  }, LIMIT);

  afterAll(async () => {
    await lab?.stop();
    rmSync(path, { force: true });
  }, LIMIT);

  test.each(SCHEMES)("stands as a picture in JupyterLab where it is not trusted, %s", async (scheme) => {
    distrust(path);
    const { page, complaints } = await lab.open(basename(path), scheme);
    await expect
      .poll(look(page), { timeout: LIMIT })
      .toMatchObject({ figures: count, pictures: count, broken: 0, drawn: 0, scripts: 0 });
    expect(await isLight(page)).toBe(scheme === "light");
    expect(await page.locator(".jp-OutputArea figcaption").count()).toBe(count);
    expect(await page.locator(".jp-OutputArea details table").count()).toBe(count);
    await screenshot(page, `views-untrusted-${scheme}`);
    expect(complaints).toEqual({ errors: [], strangers: [] });
  });

  test.each(SCHEMES)("is drawn by its script in JupyterLab where it is trusted, %s", async (scheme) => {
    jupyter("jupyter", "trust", path);
    const { page, complaints } = await lab.open(basename(path), scheme);
    await expect
      .poll(look(page), { timeout: LIMIT })
      .toMatchObject({ figures: count, pictures: 0, drawn: count, stderr: "" });
    const first = page.locator(".jp-OutputArea figure svg").first();
    await first.press("Escape");
    await first.press("ArrowRight");
    expect(await page.locator(".jp-OutputArea figure .tip.on").count()).toBe(1);
    await first.press("Escape");
    await screenshot(page, `views-trusted-${scheme}`);
    expect(complaints).toEqual({ errors: [], strangers: [] });
  });

  test("is drawn, or stands as a picture, in the page that nbconvert makes", async () => {
    jupyter("nbconvert", "--to", "html", "--output", "views.html", path);
    const html = join(cache, "views.html");
    for (const scripts of [true, false]) {
      const page = await (await lab.context("light", scripts)).newPage();
      // The page asks for libraries of its own that no figure needs.
      await page.route(/^https?:/, (route) => route.abort());
      await page.goto(`file://${html}`);
      const drawn = await page.locator("figure.moescope:has(svg)").count();
      const pictures = await page.locator('figure.moescope img[src^="data:image/svg+xml"]').count();
      expect({ drawn, pictures }).toEqual(scripts ? { drawn: count, pictures: 0 } : { drawn: 0, pictures: count });
    }
    expect(readFileSync(html, "utf8").match(/<figure class="moescope"/g)).toHaveLength(count);
    rmSync(html);
  });
});
