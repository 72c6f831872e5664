import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseHTML } from "linkedom";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXPERT_PALETTES } from "../../viz/colors.ts";
import type { Figure } from "../../viz/index.ts";
import { largeTrace } from "./samples.ts";
import { EXPERT_VIEWS, HARD_TOKENS, TEXT_VIEWS, VIEWS } from "./views.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "figures-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The texts that stand in a picture. */
function textsOf(svg: string): string[] {
  const { document } = parseHTML(`<!doctype html><body>${svg}</body>`);
  return Array.from(document.querySelectorAll("text") as Iterable<{ textContent: string }>, (text) => text.textContent);
}

/** The page of a figure: its html without the work of a PNG. */
function htmlOf(figure: Figure): string {
  const path = join(folder, "figure.html");
  figure.saveHtml(path);
  return readFileSync(path, "utf8");
}

/** What each picture says of its sample, of what to compare with, and of what its marks measure (in which unit), in words that stand in it. */
const DRAWN: Record<string, { sample: RegExp; baseline: RegExp; quantity: RegExp }> = {
  routingGrid: { sample: /^3 tokens, 2 layers/, baseline: /equal weights: 0\.500 each/, quantity: /width = weight/ },
  routerHeatmap: { sample: /^3 tokens/, baseline: /uniform: 0\.250 each/, quantity: /^0 to ln 4 = 1\.39 nats$/ },
  attentionMap: {
    sample: /^3 tokens/,
    baseline: /spread evenly, position q would give 1\/\(q\+1\)/,
    quantity: /^weight$/,
  },
  attentionHeads: {
    sample: /^3 tokens/,
    baseline: /spread evenly, the first token would get 61\.1 %/,
    quantity: /^weight$/,
  },
  attentionArcs: { sample: /^3 tokens/, baseline: /line: evenly/, quantity: /^receives, 0–1\.8 tokens$/ },
  textActivations: {
    sample: /^4 tokens; routed to this expert: 2/,
    baseline: /by chance 25\.0 %/,
    quantity: /: its value on each token$/,
  },
  expertLoad: { sample: /3 tokens, 2 of 4 experts each/, baseline: /^1\/E$/, quantity: /^share of assignments/ },
  expertFlow: { sample: /^3 tokens/, baseline: /against independent layers/, quantity: /^tokens on a link/ },
  coactivation: { sample: /^3 tokens/, baseline: /1 ×, as expected/, quantity: /^observed \/ expected$/ },
  domainSpecialization: {
    sample: /12 tokens in 6 texts/,
    baseline: /95 % of shuffles/,
    quantity: /in percentage points$/,
  },
  trainingCurves: { sample: /^4 steps measured/, baseline: /^uniform guess$/, quantity: /^cross-entropy, nats$/ },
  dotPlot: { sample: /^100 questions each/, baseline: /guess/, quantity: /^accuracy, %$/ },
  expertAblation: { sample: /^200 tokens/, baseline: /^no change$/, quantity: /^change of the loss, nats a token$/ },
  logitLens: {
    sample: /^2 tokens/,
    baseline: /a guess among all tokens: 1 in 5/,
    quantity: /^probability of the top token$/,
  },
  residualNorms: { sample: /^2 tokens/, baseline: /^median, 0–/, quantity: /^length$/ },
  routerSteps: { sample: /^2 of 4 experts/, baseline: /^line: 1\/4$/, quantity: /^1 logit$/ },
  explorer: { sample: /^3 tokens/, baseline: /uniform routing: probability 0\.250/, quantity: /^probability$/ },
};

describe("every view", () => {
  test.each(Object.keys(VIEWS))(
    "%s draws its sample size, its baseline and its quantity, under a title of its own",
    (name) => {
      const { svg, title } = VIEWS[name]!();
      const texts = textsOf(svg);
      for (const [of, words] of Object.entries(DRAWN[name]!))
        expect(
          texts.filter((text) => words.test(text)),
          of,
        ).not.toEqual([]);
      expect(texts[0]).toBe(title);
      expect(title.length).toBeGreaterThan(8);
    },
  );

  test("has a title that no other view has", () => {
    const titles = Object.values(VIEWS).map((view) => view().title);
    expect(new Set(titles).size).toBe(titles.length);
  });
});

describe.each(Object.keys(TEXT_VIEWS))("the text of %s", (name) => {
  const { of } = TEXT_VIEWS[name]!;
  const figure = of(HARD_TOKENS.map(({ piece }) => piece));

  test("shows spaces, line ends, half characters, other directions and scripts, and markup as they are", () => {
    const texts = textsOf(figure.svg);
    const isCut = (text: string, reads: string): boolean => text.length > 5 && reads.startsWith(text.slice(0, -1));
    for (const { reads } of HARD_TOKENS)
      expect(
        texts.filter((text) => text === reads || (text.endsWith("…") && isCut(text, reads))),
        reads,
      ).not.toEqual([]);
  });

  test("that is too long for one figure is shown in part, and the picture says which and how to go on", () => {
    const long = Array.from({ length: 2100 }, (_, i) => HARD_TOKENS[i % HARD_TOKENS.length]!.piece);
    const told = textsOf(of(long).svg).flatMap((text) => [
      ...text.matchAll(/tokens 0–([\d,]+) of 2,100 \(next: start: (\d+)\)/g),
    ]);
    expect(told).toHaveLength(1);
    expect(Number(told[0]![1]!.replaceAll(",", "")) + 1).toBe(Number(told[0]![2]));
  });

  test("sets every token in an element of its own, so that none turns its neighbours around", () => {
    const own = textsOf(figure.svg).filter((text) => text.includes("مرحبا") || text.includes("שלום"));
    for (const text of own) expect(["مرحبا", "שלום"]).toContain(text);
  });

  test("lets nothing through that is markup or turns text around", () => {
    const html = htmlOf(figure);
    const bad = /<b>|"><img>|[\u202a-\u202e]|(?![\n\r\t])\p{Cc}/u;
    expect(html).not.toMatch(bad);
    expect(figure.svg).not.toMatch(bad);
    expect(html.match(/<script/g)).toHaveLength(2);
  });
});

describe.each(Object.keys(EXPERT_VIEWS))("experts in %s", (name) => {
  test.each([8, 16])("have one colour each, the same as everywhere, for %i", (nExperts) => {
    const { svg } = EXPERT_VIEWS[name]!(largeTrace(60, nExperts, 4, 2));
    const used = EXPERT_PALETTES.light.map((color) => svg.includes(`fill="${color}"`));
    expect(used).toEqual(EXPERT_PALETTES.light.map((_, expert) => expert < nExperts));
  });

  test.each([64, 128])("are told by position alone for %i", (nExperts) => {
    const { svg } = EXPERT_VIEWS[name]!(largeTrace(60, nExperts, 4, 2));
    for (const color of EXPERT_PALETTES.light) expect(svg).not.toContain(color);
    expect(textsOf(svg).filter((text) => /^\d+$/.test(text)).length).toBeGreaterThan(1);
  });
});
