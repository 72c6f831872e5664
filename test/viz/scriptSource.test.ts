import { describe, expect, test } from "vitest";
import { scriptHtml } from "../../viz/html.ts";
import { routingGrid } from "../../viz/routingGrid.ts";
import { open, point, tip } from "./page.ts";
import { SMALL } from "./samples.ts";

/** A figure's html, with or without a script of its own. */
function html(source: "once" | "each" | "none"): string {
  return routingGrid(SMALL).bundle(source)["text/html"]!;
}

describe("figures that share a script", () => {
  test("are far smaller than those that bring it along", () => {
    const [once, each] = [html("once").length, html("each").length];
    expect(each - once).toBeGreaterThan(30_000);
    expect(scriptHtml().length).toBeLessThan(48_000);
  });

  test.each([
    { order: "after it", parts: [scriptHtml(), html("once"), html("once")] },
    { order: "before it", parts: [html("once"), html("once"), scriptHtml()] },
    { order: "around it", parts: [html("once"), scriptHtml(), html("once")] },
    { order: "beside one that brings it", parts: [html("once"), html("each")] },
    { order: "after it came twice", parts: [scriptHtml(), scriptHtml(), html("once"), html("each")] },
  ])("all answer when they stand $order", async ({ parts }) => {
    const { page, faults } = await open(parts.join(""));
    const figures = parts.filter((part) => part.includes("<figure")).length;
    expect(await page.locator("figure .picture").count()).toBe(figures);
    expect(await page.locator("figure > div > img").count()).toBe(0);
    await point(page, 75, 122);
    expect(await tip(page)).toContain("0 “<s>”, layer 0");
    expect(faults).toEqual([]);
  });

  test("are woken when the script comes long after them, as by a cell that is run later", async () => {
    const { page, faults } = await open(html("once"));
    await page.locator("figure > .waiting").waitFor();
    await page.evaluate(
      `document.body.append(document.createRange().createContextualFragment(${JSON.stringify(scriptHtml())}))`,
    );
    expect(await page.locator("figure .picture").count()).toBe(1);
    expect(await page.locator("figure > .waiting").count()).toBe(0);
    expect(faults).toEqual([]);
  });

  test("stand alone as pictures that say what they wait for", async () => {
    const { page, faults } = await open(html("once"));
    expect(await page.locator("figure > .waiting").count()).toBe(0);
    await page.locator("figure > .waiting").waitFor();
    expect(await page.locator("figure > .waiting").innerText()).toContain("run the cell that calls init()");
    const picture = (await page.locator("figure > div > img").boundingBox())!;
    expect(picture.width).toBe(840);
    expect(await page.locator("figure > details").count()).toBe(1);
    expect(faults).toEqual([]);
  });
});

test("a figure that brings its script answers when it is cut out alone", async () => {
  const { page } = await open(html("each"));
  expect(await page.locator("figure .picture").count()).toBe(1);
});

test("a figure without a script is a picture for good", async () => {
  expect(html("none")).not.toContain("<script");
  const { page, faults } = await open(scriptHtml() + html("none"));
  expect(await page.locator("figure > div > img").count()).toBe(1);
  expect(faults).toEqual([]);
});

test("a script leaves figures of another version alone", async () => {
  const other = html("once").replaceAll(/[0-9a-f]{12}/g, "0123456789ab");
  const { page } = await open(scriptHtml() + other);
  expect(await page.locator("figure > div > img").count()).toBe(1);
  await page.locator("figure > .waiting").waitFor();
});
