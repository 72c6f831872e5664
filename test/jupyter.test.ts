import { copyFileSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { cache, distrust, isLight, jupyter, Lab, LIMIT, look, root, screenshot } from "./lab.ts";

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

/** The notebook that is run here too; the others are shown as they are committed, having been run by nbclient elsewhere. */
const FIRST = "01-first-look.ipynb";

// One folder deep, like the notebooks, so that relative paths to the model hold; never the committed file itself.
const copyOf = (name: string): string => join(cache, name);

describe("JupyterLab", { timeout: LIMIT }, () => {
  let lab: Lab;

  beforeAll(async () => {
    expect(notebooks).toContain(FIRST);
    for (const name of notebooks) copyFileSync(join(root, "notebooks", name), copyOf(name));
    lab = await Lab.start(copyOf(FIRST));
  }, LIMIT);

  afterAll(async () => {
    await lab?.stop();
    for (const name of notebooks) rmSync(copyOf(name), { force: true });
  }, LIMIT);

  test(`runs every cell of ${FIRST}, and every figure's script draws`, async () => {
    const { page, complaints } = await lab.open(FIRST, "light");
    await runAll(page);
    const figures = figuresIn(copyOf(FIRST));
    expect(figures).toBe(figuresIn(join(root, "notebooks", FIRST)));
    await expect
      .poll(look(page), { timeout: LIMIT })
      .toMatchObject({ figures, drawn: figures, pictures: 0, stderr: "" });
    expect(complaints).toEqual({ errors: [], strangers: [] });
    await page.context().close();
  });

  describe.each(notebooks)("with %s", (name) => {
    const figures = figuresIn(join(root, "notebooks", name));
    const title = basename(name, ".ipynb");

    test.each(["light", "dark"] as const)("draws every figure on a %s ground where it is trusted", async (scheme) => {
      if (name !== FIRST) jupyter("jupyter", "trust", copyOf(name));
      const { page, complaints } = await lab.open(name, scheme);
      await expect
        .poll(look(page), { timeout: LIMIT })
        .toMatchObject({ figures, drawn: figures, pictures: 0, stderr: "" });
      await screenshot(page, `${title}-trusted-${scheme}`);
      expect(complaints).toEqual({ errors: [], strangers: [] });
      await page.context().close();
    });

    test.each(["light", "dark"] as const)(
      "stands as pictures on a %s ground where it is not trusted",
      async (scheme) => {
        distrust(copyOf(name));
        const { page, complaints } = await lab.open(name, scheme);
        await expect
          .poll(look(page), { timeout: LIMIT })
          .toMatchObject({ figures, pictures: figures, broken: 0, drawn: 0, scripts: 0 });
        expect(await isLight(page)).toBe(scheme === "light");
        await screenshot(page, `${title}-untrusted-${scheme}`);
        expect(complaints).toEqual({ errors: [], strangers: [] });
        await page.context().close();
      },
    );
  });
});
