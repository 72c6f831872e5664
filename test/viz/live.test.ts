import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { coactivation as countTogether } from "../../lib/metrics/coactivation.ts";
import { loadPerExpert } from "../../lib/metrics/load.ts";
import {
  attentionArcs,
  attentionHeads,
  attentionMap,
  coactivation,
  domainSpecialization,
  dotPlot,
  expertAblation,
  expertFlow,
  expertLoad,
  explorer,
  type Figure,
  logitLens,
  residualNorms,
  routerHeatmap,
  routerSteps,
  routingGrid,
  textActivations,
  trainingCurves,
} from "../../viz/index.ts";
import { htmlOf, open, point, tip } from "./page.ts";
import {
  ABLATION,
  ACTIVATIONS,
  ATTENTION,
  COMPARISON,
  HISTORY,
  LENS,
  largeTrace,
  piece,
  ROUTING,
  SMALL,
  TWO_KINDS,
} from "./samples.ts";

/** The colour of the title. The expression is text, since types of the page have no place in a test. */
function ink(page: Page): Promise<string> {
  return page.evaluate(
    'getComputedStyle(document.querySelector("figure > div").shadowRoot.querySelector(".title")).fill',
  );
}

/** Where an explorer's panels start, by the description that it gives the script. */
function placesOf(figure: Figure): Record<"text" | "grid" | "heat" | "bars", { x: number; y: number; width: number }> {
  const json = /<script type="application\/json">([^<]+)</.exec(htmlOf(figure))![1]!;
  const { blocks } = JSON.parse(json) as { blocks: { x: number; y: number; width: number }[] };
  const [grid, heat, bars] = blocks.slice(-3);
  return { text: blocks[0]!, grid: grid!, heat: heat!, bars: bars! };
}

const FIGURES: Record<string, { figure: () => Figure; x: number; y: number; says: string }> = {
  routingGrid: {
    figure: () => routingGrid(SMALL),
    x: 75,
    y: 122,
    says: "0 “<s>”, layer 0 expert 0 0.750 expert 1 0.250",
  },
  routerHeatmap: {
    figure: () => routerHeatmap(SMALL, { layer: 2 }),
    x: 135,
    y: 115,
    says: "0 “<s>” expert 0, rank 3 0.125 uniform 0.250",
  },
  attentionMap: {
    figure: () => attentionMap(ATTENTION, { head: 1 }),
    x: 170,
    y: 155,
    says: "2 “␣x” looks at 1 “東京” this cell 0.125 = 0.4 × even",
  },
  textActivations: { figure: () => textActivations(ACTIVATIONS), x: 70, y: 99, says: "1 “␣dogs” neuron 1 −2" },
  expertLoad: {
    figure: () => expertLoad(loadPerExpert(SMALL)),
    x: 70,
    y: 160,
    says: "layer 0, expert 0 load 50.0 % assignments 3 of 6",
  },
  expertFlow: {
    figure: () => expertFlow(SMALL, { minShare: 0.2 }),
    x: 85,
    y: 150,
    says: "layer 0, expert 0 load 62.5 % uniform 25.0 % to 1 34.9 %, 1.0 × as expected to 2 25.0 %, 1.0 × as expected",
  },
  explorer: {
    figure: () => explorer(SMALL),
    x: 80,
    y: 153,
    says: "0 “<s>”, layer 0 expert 0 weight 0.750, probability 0.600 expert 1 weight 0.250, probability 0.200 tokens here on expert 0 3 of 3 = 100.0 %, uniform 50.0 %",
  },
  routerSteps: {
    figure: () => routerSteps(ROUTING),
    x: 540,
    y: 145,
    says: "expert 1, weight logit −0.693 1 over the sum 2 probability 0.500 top 2 rank 1 over 0.75 weight 0.667",
  },
  logitLens: {
    figure: () => logitLens(LENS),
    x: 100,
    y: 115,
    says: "after 0 “␣a”, layer 0 “b↵” 0.625 “三” 0.250 “#1” 0.062 the last layer's token already really next in the text yes rank of “b↵” 1",
  },
  residualNorms: {
    figure: () => residualNorms({ ...LENS, norms: [1, 2, 3, 4, 5, 60] }),
    x: 120,
    y: 98,
    says: "1 “b↵”, layer 1 length 60 median of the row 32.5, ratio 1.8 × after layer 0 4",
  },
  attentionHeads: {
    figure: () => attentionHeads(ATTENTION),
    x: 220,
    y: 150,
    says: "layer 1, head 1 on the first token 75.0 %, evenly 61.1 % on the token before 43.8 %, evenly 41.7 %",
  },
  attentionArcs: {
    figure: () => attentionArcs(ATTENTION, { head: 1 }),
    x: 380,
    y: 135,
    says: "2 “␣x” looks at 0 “<s>” 0.500 2 “␣x” 0.375 1 “東京” 0.125 spread evenly 0.333",
  },
  expertAblation: {
    figure: () => expertAblation(ABLATION),
    x: 150,
    y: 150,
    says: "layer 0, expert 2 taken out zero −0.05 reroute not run loss with all experts 2.500 nats a token",
  },
  trainingCurves: {
    figure: () => trainingCurves(HISTORY, { logSteps: true }),
    x: 670,
    y: 150,
    says: "MaxVio, step 100 layer 0 0.25 layer 3 0.75 even load 0",
  },
  dotPlot: {
    figure: () => dotPlot(COMPARISON),
    x: 400,
    y: 110,
    says: "sums: accuracy, % ours 50 (40 to 60) theirs 70, 8-shot guess 25",
  },
  domainSpecialization: {
    figure: () => domainSpecialization(TWO_KINDS, { draws: 200 }),
    x: 80,
    y: 140,
    says: "prose, expert 0 share of assignments 50.0 % pooled 25.0 %, ratio 2.0 × above shuffled labels",
  },
  coactivation: {
    figure: () => coactivation(countTogether(SMALL)),
    x: 135,
    y: 127,
    says: "experts 0 and 2 tokens that use both 1 = 33.3 % expected for these loads 1 = 33.3 %",
  },
};

describe("a figure in a page", () => {
  test.each(Object.keys(FIGURES))("replaces its picture with one that answers: %s", async (name) => {
    const { figure, x, y, says } = FIGURES[name]!;
    const { page, faults } = await open(htmlOf(figure()));
    expect(await page.locator("figure > div > img").count()).toBe(0);
    expect(await page.locator("figure .picture").count()).toBe(1);
    expect(await page.locator("figure > details").count()).toBe(1);
    expect(await tip(page)).toBeNull();
    await point(page, x, y);
    expect(await tip(page)).toContain(says);
    await page.mouse.move(5, 880);
    expect(await tip(page)).toBeNull();
    expect(faults).toEqual([]);
  });

  test("says nothing of scrolling where the whole picture is in sight", async () => {
    const { page } = await open(htmlOf(routingGrid(SMALL)));
    expect(await page.locator("figure .hint").innerText()).toMatch(/^Point at a cell.* Enter keeps\.$/);
  });

  test("keeps its place on the page when the picture gives way", async () => {
    const html = htmlOf(routingGrid(SMALL));
    const still = await open(html, { javaScriptEnabled: false });
    const live = await open(html);
    const before = (await still.page.locator("figure img").boundingBox())!;
    const after = (await live.page.locator("figure .picture").boundingBox())!;
    expect([after.x, after.y, after.width, after.height]).toEqual([before.x, before.y, before.width, before.height]);
  });

  test("stays a picture, and says so, where its data is damaged", async () => {
    const html = htmlOf(routingGrid(SMALL)).replace('"view":"routingGrid"', '"view":"none"');
    const { page } = await open(html);
    expect(await page.locator("figure > div > img").count()).toBe(1);
    expect(await page.locator("figure .picture").count()).toBe(0);
    expect(await page.locator("figure > p").innerText()).toMatch(/^This figure stays a picture: TypeError/);
  });

  test("does not meet another figure on the page", async () => {
    const { page, faults } = await open(
      htmlOf(routingGrid(SMALL)) + htmlOf(textActivations(ACTIVATIONS)) + htmlOf(routingGrid(SMALL)),
    );
    expect(await page.locator("figure .picture").count()).toBe(3);
    await point(page, 75, 122);
    expect(await page.locator("figure .tip.on").count()).toBe(1);
    expect(faults).toEqual([]);
  });

  test("shows hostile tokens as text", async () => {
    const hostile = [
      piece("<img src=x onerror=alert(1)>"),
      piece("</script><script>alert(2)</script>"),
      piece("&lt;b&gt;"),
    ];
    const { page, faults } = await open(htmlOf(routingGrid({ ...SMALL, pieces: hostile })));
    await point(page, 75, 122);
    expect(await tip(page)).toContain("0 “<img␣src=x␣onerror=alert(1)>”, layer 0");
    await point(page, 140, 122);
    expect(await tip(page)).toContain("2 “&lt;b&gt;”, layer 0");
    await page.locator("figure > details").evaluate((details) => details.setAttribute("open", ""));
    expect(await page.locator("figure td").nth(5).innerText()).toBe("</script><script>alert(2)</script>");
    expect(faults).toEqual([]);
  });

  test("scrolls sideways in a narrow column, at its own size, and its tooltip stays in sight", async () => {
    const { page } = await open(htmlOf(routingGrid(largeTrace(22, 16, 4, 2))), {
      viewport: { width: 420, height: 800 },
    });
    expect((await page.locator("figure .picture").boundingBox())!.width).toBe(840);
    expect(await page.locator("figure .hint").innerText()).toContain("Scroll sideways for the rest of the picture.");
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(420);
    await page.locator("figure .pane").evaluate((pane) => pane.scrollTo(300, 0));
    await point(page, 555, 130);
    const box = (await page.locator("figure .tip.on").boundingBox())!;
    expect(box.x).toBeGreaterThanOrEqual(0);
    expect(box.x + box.width).toBeLessThanOrEqual(420);
  });

  test("scrolls to the cell that a key leads to", async () => {
    const { page } = await open(htmlOf(routingGrid(largeTrace(22, 16, 4, 2))), {
      viewport: { width: 420, height: 800 },
    });
    const cursor = page.locator('figure .lit path[stroke="var(--accent)"]');
    // After the scrolling the cell is lit anew: between the two its box is that of no element.
    const seen = async (): Promise<boolean> => {
      const box = await cursor.boundingBox();
      return box !== null && box.x >= 0 && box.x + box.width <= 420;
    };
    await page.locator("figure .picture").focus();
    for (let i = 0; i < 22; i++) await page.keyboard.press("ArrowRight");
    expect(await tip(page)).toMatch(/^21 “/);
    await expect.poll(seen).toBe(true);
    for (let i = 0; i < 21; i++) await page.keyboard.press("ArrowLeft");
    expect(await tip(page)).toMatch(/^0 “/);
    await expect.poll(seen).toBe(true);
  });

  test("is as large as its picture without scripts, which scrolls likewise", async () => {
    const { page } = await open(htmlOf(routingGrid(SMALL)), {
      viewport: { width: 420, height: 800 },
      javaScriptEnabled: false,
    });
    expect((await page.locator("figure img").boundingBox())!.width).toBe(840);
    expect((await page.locator("figure > div").boundingBox())!.width).toBeLessThanOrEqual(420);
  });
});

describe("pointing", () => {
  test("at a slice lights every cell whose token uses that expert", async () => {
    const { page } = await open(htmlOf(routingGrid(SMALL)));
    // Layer 0 of token 0: expert 1 is the right quarter of the cell; it is used there and by all tokens in layer 2.
    await point(page, 98, 122);
    expect(await tip(page)).toContain("tokens on expert 1 in this layer 1 of 3 = 33.3 %");
    const lit = await page.locator("figure .lit path").first().getAttribute("d");
    expect(lit!.match(/M/g)).toHaveLength(4);
    expect(await page.locator("figure .stage.dim").count()).toBe(1);
  });

  test("at a token shows the whole row of its attention", async () => {
    const { page } = await open(htmlOf(attentionMap(ATTENTION, { head: 1 })));
    await point(page, 60, 155);
    expect(await tip(page)).toBe(
      "2 “␣x” looks at 0 “<s>” 0.500 2 “␣x” 0.375 1 “東京” 0.125 spread evenly 0.333 rounded to ±6.7e−6; figure.data is exact",
    );
  });

  test("says how far numbers are rounded, by the coarsest of the figure, and nothing where all are exact", async () => {
    // The overview's weights come in 254 steps; loads are counts.
    const packed = await open(htmlOf(routingGrid(largeTrace(2000, 16, 4, 2))));
    await point(packed.page, 100, 115);
    const weights = largeTrace(2000, 16, 4, 2).expertWeights!;
    const [least, most] = [Math.min(...weights), Math.max(...weights)];
    const [, told] = /rounded to ±([\d.]+); figure.data is exact$/.exec((await tip(packed.page))!)!;
    expect(Number(told)).toBeCloseTo((most - least) / 508, 5);
    const exact = await open(htmlOf(expertLoad(loadPerExpert(SMALL))));
    await point(exact.page, 70, 160);
    expect(await tip(exact.page)).not.toContain("rounded");
  });

  test("above the diagonal says that there is nothing", async () => {
    const { page } = await open(htmlOf(attentionMap(ATTENTION)));
    await point(page, 195, 103);
    expect(await tip(page)).toBe("0 “<s>” cannot look ahead to 2 “␣x”");
  });

  test("at a token that was not computed says so", async () => {
    const { page } = await open(htmlOf(textActivations(ACTIVATIONS)));
    await point(page, 25, 99);
    expect(await tip(page)).toMatch(/^0 “Two” not computed not routed to expert 7/);
  });

  test("at a bar outlines the same expert in every layer", async () => {
    const { page } = await open(htmlOf(expertLoad(loadPerExpert(SMALL))));
    await point(page, 70, 160);
    expect(await page.locator("figure .lit path").count()).toBe(3);
  });
});

describe("pointing at a flow", () => {
  test("lights whole paths from a block", async () => {
    const { page } = await open(htmlOf(expertFlow(SMALL, { minShare: 0.2 })));
    // Expert 2 of layer 2 gets all of the link 0 → 2, 90.5 pixels thick, and none of 0 → 1.
    await point(page, 800, 360);
    expect(await tip(page)).toContain("layer 2, expert 2 load 41.7 %");
    const widths = await page
      .locator("figure .lit path[stroke-width]")
      .evaluateAll((paths) => paths.map((path) => Number(path.getAttribute("stroke-width"))));
    expect(widths.slice(0, 2)).toEqual([0, 90.5]);
  });

  test("at a ribbon shows the expected flow inside it, and a click keeps it", async () => {
    const { page, faults } = await open(htmlOf(expertFlow(SMALL, { minShare: 0.2 })));
    await point(page, 440, 190);
    const says = "layer 0, expert 0 → layer 2, expert 1";
    expect(await tip(page)).toBe(`${says} tokens on this link 34.9 % expected if independent 33.9 % ratio 1.0 ×`);
    await page.mouse.down();
    await page.mouse.up();
    await point(page, 440, 300);
    expect(await tip(page)).toContain(`${says} (kept)`);
    expect(faults).toEqual([]);
  });
});

describe("a click", () => {
  test("keeps a cell until it is clicked again or Escape is pressed", async () => {
    const { page } = await open(htmlOf(routingGrid(SMALL)));
    await point(page, 75, 122);
    await page.mouse.down();
    await page.mouse.up();
    await point(page, 140, 102);
    expect(await tip(page)).toContain("0 “<s>”, layer 0 (kept)");
    await point(page, 75, 122);
    await page.mouse.down();
    await page.mouse.up();
    expect(await tip(page)).not.toContain("(kept)");
    await page.mouse.down();
    await page.mouse.up();
    expect(await tip(page)).toContain("(kept)");
    await page.keyboard.press("Escape");
    expect(await tip(page)).toBeNull();
  });
});

describe("the keyboard", () => {
  test("moves a cursor, which is spoken, and stops at the edges", async () => {
    const { page, faults } = await open(htmlOf(routingGrid(SMALL)));
    await page.keyboard.press("Tab");
    const spoken = page.locator('figure [aria-live="polite"]');
    await page.keyboard.press("ArrowRight");
    expect(await spoken.innerText()).toContain("0 “<s>”, layer 0, expert 0 0.750");
    await page.keyboard.press("ArrowRight");
    await page.keyboard.press("ArrowUp");
    expect(await spoken.innerText()).toContain("1 “␣the”, layer 2, expert 1 0.875");
    await page.keyboard.press("ArrowUp");
    expect(await spoken.innerText()).toContain("1 “␣the”, layer 2");
    await page.keyboard.press("ArrowDown");
    await page.keyboard.press("ArrowDown");
    expect(await spoken.innerText()).toContain("1 “␣the”, layer 0");
    await page.keyboard.press("Enter");
    expect(await tip(page)).toContain("(kept)");
    expect(faults).toEqual([]);
  });

  test("crosses from one band of a long text to the next", async () => {
    const figure = routingGrid(largeTrace(60, 16, 4, 1));
    const { page } = await open(htmlOf(figure));
    await page.keyboard.press("Tab");
    for (let i = 0; i <= 31; i++) await page.keyboard.press("ArrowRight");
    expect(await tip(page)).toMatch(/^31 “/);
  });

  test("reaches the picture with a name that says what it is", async () => {
    const { page } = await open(htmlOf(routingGrid(SMALL)));
    const picture = page.locator("figure .picture");
    expect(await picture.getAttribute("aria-label")).toBe("Routing by token and layer: 2 of 4 experts for each token");
    expect(await picture.getAttribute("tabindex")).toBe("0");
  });
});

describe("the neuron picker", () => {
  test("recolours the text, its key and its title", async () => {
    const { page, faults } = await open(htmlOf(textActivations(ACTIVATIONS)));
    const ground = page.locator("figure .ground");
    // Neuron 1 is −2 and 4.
    expect(await ground.first().getAttribute("fill")).toBe("var(--negative)");
    await page.locator("figure input").fill("2");
    // Neuron 2 is 0 and −3.
    expect(await ground.first().getAttribute("fill-opacity")).toBe("0");
    expect(await ground.nth(1).getAttribute("fill")).toBe("var(--negative)");
    expect(await page.locator("figure .low").textContent()).toBe("−3");
    expect(await page.locator("figure .title").textContent()).toBe(
      "Layer 1, expert 7, neuron 2: its value on each token",
    );
    await page.locator("figure select").selectOption("0");
    expect(await page.locator("figure input").inputValue()).toBe("0");
    await point(page, 70, 99);
    expect(await tip(page)).toContain("neuron 0 0.5");
    expect(faults).toEqual([]);
  });

  test("says when a neuron is not in the figure", async () => {
    const { page } = await open(htmlOf(textActivations(ACTIVATIONS)));
    await page.locator("figure input").fill("17");
    expect(await page.locator("figure .note").textContent()).toBe("neuron 17 is not in this figure");
    expect(await page.locator("figure .title").textContent()).toContain("neuron 1:");
  });
});

describe("the explorer", () => {
  const state = (page: Page): Promise<string> => page.locator("figure input.state").inputValue();
  const lit = (page: Page): Promise<number> => page.locator("figure .lit path[fill^='var(--e']").count();

  test("lights the same expert in text, grid and heatmap wherever it is pointed at", async () => {
    const { page, faults } = await open(htmlOf(explorer(SMALL)));
    const { heat, bars, text } = placesOf(explorer(SMALL));
    // Expert 0 in layer 0 serves all three tokens: three words, and its slices.
    await point(page, heat.x + 5, heat.y + 5);
    expect(await tip(page)).toContain("0 “<s>”, layer 0");
    const fromHeat = await lit(page);
    await point(page, bars.x + 5, bars.y + 5);
    expect(await tip(page)).toContain(
      "expert 0, layer 0 tokens here on expert 0 3 of 3 = 100.0 %, uniform 50.0 % its load 50.0 %",
    );
    expect(fromHeat).toBe((await lit(page)) + 4);
    await point(page, text.x + 5, text.y + 5);
    expect(await tip(page)).toContain("0 “<s>”, layer 0");
    expect(faults).toEqual([]);
  });

  test("keeps a point, chooses its layer, and says so as a small object that brings it back", async () => {
    const { page, faults } = await open(htmlOf(explorer(SMALL)));
    const { grid } = placesOf(explorer(SMALL));
    expect(await state(page)).toBe('{"layer":0,"token":null,"expert":null}');
    // The upper row is layer 2; its second token takes 1 and 3.
    await point(page, grid.x + grid.width + 4, grid.y + 5);
    await page.mouse.down();
    await page.mouse.up();
    expect(await state(page)).toBe('{"layer":2,"token":1,"expert":1}');
    expect(await page.locator("figure select.layer").inputValue()).toBe("2");
    expect(await page.locator("figure .signs").textContent()).toContain("load of layer 2");
    const again = await open(htmlOf(explorer(SMALL, { state: JSON.parse(await state(page)) })));
    expect(await tip(again.page)).toContain("1 “␣the”, layer 2 (kept)");
    expect(await state(again.page)).toBe(await state(page));
    await again.page.locator("figure .picture").press("Escape");
    expect(await state(again.page)).toBe('{"layer":2,"token":null,"expert":null}');
    expect(faults).toEqual([]);
  });

  test.each([
    { layer: 2, token: 1, expert: null },
    { layer: 2, token: null, expert: 3 },
    { layer: 0, token: 2, expert: 1 },
  ])("comes back as it was: $layer, $token, $expert", async (given) => {
    const { page } = await open(htmlOf(explorer(SMALL, { state: given })));
    expect(JSON.parse(await state(page))).toEqual(given);
    expect(await tip(page)).toContain("(kept)");
  });

  test("says what is kept below the picture, where it covers no panel, and what is pointed at beside it", async () => {
    const { page } = await open(htmlOf(explorer(SMALL, { state: { layer: 2, token: 1, expert: 1 } })));
    const picture = page.locator("figure .picture");
    const told = page.locator("figure .tip.on");
    const bottom = async (): Promise<number> => {
      const box = (await picture.boundingBox())!;
      return box.y + box.height;
    };
    expect((await told.boundingBox())!.y).toBeGreaterThanOrEqual(await bottom());
    await picture.press("Escape");
    const { heat } = placesOf(explorer(SMALL));
    await point(page, heat.x + 5, heat.y + 5);
    expect((await told.boundingBox())!.y).toBeLessThan(await bottom());
  });

  test("shows another layer for as long as it is pointed at, and the chosen one otherwise", async () => {
    const { page } = await open(htmlOf(explorer(SMALL)));
    const { grid } = placesOf(explorer(SMALL));
    await point(page, grid.x + 4, grid.y + 5);
    expect(await page.locator("figure .signs").textContent()).toContain("load of layer 2");
    await page.mouse.move(5, 880);
    expect(await page.locator("figure .signs").textContent()).toContain("load of layer 0");
    await page.locator("figure select.layer").selectOption("2");
    expect(await page.locator("figure .signs").textContent()).toContain("load of layer 2");
    expect(await state(page)).toBe('{"layer":2,"token":null,"expert":null}');
  });

  test("goes from the text through the layers to the experts with arrow keys", async () => {
    const { page } = await open(htmlOf(explorer(SMALL)));
    const picture = page.locator("figure .picture");
    const heads: string[] = [];
    await picture.focus();
    for (let i = 0; i < 5; i++) {
      await page.keyboard.press("ArrowDown");
      heads.push((await tip(page))!.split(" ").slice(0, 4).join(" "));
    }
    expect(heads).toEqual([
      "0 “<s>”, layer 0",
      "0 “<s>”, layer 2",
      "0 “<s>”, layer 0",
      "0 “<s>”, layer 0",
      "0 “<s>”, layer 0",
    ]);
    await page.keyboard.press("Enter");
    expect(await state(page)).toBe('{"layer":0,"token":0,"expert":1}');
  });
});

describe("the router's steps", () => {
  const rows = (page: Page, column: number): Promise<string[]> =>
    page.locator(`figure .step${column} .n`).allTextContents();

  test("are walked through one by one, in words too", async () => {
    const { page, faults } = await open(htmlOf(routerSteps(ROUTING)));
    const next = page.getByRole("button", { name: "next step" });
    await next.click();
    expect(await page.locator("figure .note").innerText()).toBe(
      "Step 1 of 5. Logit: the router's row for expert 1 times the token gives −0.693.",
    );
    expect(await page.locator("figure .step4").getAttribute("opacity")).toBe("0.08");
    for (let i = 0; i < 3; i++) await next.click();
    expect(await page.locator("figure .note").innerText()).toBe(
      "Step 4 of 5. Weight: 0.500 over the chosen ones' sum 0.750 is 0.667.",
    );
    expect(await page.locator("figure .step3").getAttribute("opacity")).toBe("1");
    expect(faults).toEqual([]);
  });

  test("show another k, and that an expert that was not asked has no known output", async () => {
    const { page } = await open(htmlOf(routerSteps(ROUTING)));
    await page.locator("figure input.k").fill("1");
    expect(await rows(page, 3)).toEqual(["", "1.000", "", ""]);
    expect(await rows(page, 4)).toEqual(["", "100.0 %", "", ""]);
    await page.locator("figure input.k").fill("3");
    // 0.2, 0.5 and 0.25 over 0.95.
    expect(await rows(page, 3)).toEqual(["0.211", "0.526", "", "0.263"]);
    expect(await rows(page, 4)).toEqual(["not known", "not known", "", "not known"]);
    await page.getByRole("button", { name: "as the model did" }).click();
    expect(await rows(page, 3)).toEqual(["", "0.667", "", "0.333"]);
    expect(await rows(page, 4)).toEqual(["", "50.0 %", "", "50.0 %"]);
  });

  test("show what noise on the logits does, and other draws of it", async () => {
    const { page, faults } = await open(htmlOf(routerSteps(ROUTING)));
    const before = await rows(page, 0);
    await page.locator("figure input.noise").fill("1.5");
    const first = await rows(page, 0);
    await page.getByRole("button", { name: "another draw" }).click();
    const second = await rows(page, 0);
    expect(first).not.toEqual(before);
    expect(second).not.toEqual(first);
    await page.getByRole("button", { name: "as the model did" }).click();
    expect(await rows(page, 0)).toEqual(before);
    expect(faults).toEqual([]);
  });
});

describe("the theme", () => {
  const [LIGHT_INK, DARK_INK] = ["rgb(29, 36, 48)", "rgb(231, 234, 240)"];

  test("follows the ground that the figure stands on, not the reader's preference for other pages", async () => {
    const html = htmlOf(routingGrid(SMALL));
    const dark = await open(`<div style="background: #111">${html}</div>`, { colorScheme: "light" });
    expect(await ink(dark.page)).toBe(DARK_INK);
    const white = await open(`<div style="background: white">${html}</div>`, { colorScheme: "dark" });
    expect(await ink(white.page)).toBe(LIGHT_INK);
  });

  test("follows the reader's preference where the page does", async () => {
    const html = `<meta name="color-scheme" content="light dark">${htmlOf(routingGrid(SMALL))}`;
    expect(await ink((await open(html, { colorScheme: "dark" })).page)).toBe(DARK_INK);
    expect(await ink((await open(html, { colorScheme: "light" })).page)).toBe(LIGHT_INK);
  });

  test("changes when the page changes", async () => {
    const style = "<style>body { background: white } body[data-jp-theme-light=false] { background: #111 }</style>";
    const { page } = await open(style + htmlOf(routingGrid(SMALL)));
    expect(await ink(page)).toBe(LIGHT_INK);
    await page.evaluate('document.body.setAttribute("data-jp-theme-light", "false")');
    await expect.poll(() => ink(page)).toBe(DARK_INK);
  });
});

describe("a saved page", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "figure-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("works under the policy that it sets itself", async () => {
    const path = join(folder, "figure.html");
    routerHeatmap(largeTrace(120, 64, 8, 1)).saveHtml(path);
    const { page, faults } = await open("");
    await page.goto(`file://${path}`);
    expect(await page.locator("figure .picture image").count()).toBe(1);
    await point(page, 300, 300);
    expect(await tip(page)).toMatch(/entropy [\d.]+ of 4.16 nats rounded/);
    expect(faults.filter((fault) => !fault.startsWith("request: file:"))).toEqual([]);
  });
});
