import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
// @ts-expect-error: the package ships no types
import sanitize from "sanitize-html";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { coactivation as countTogether } from "../../lib/metrics/coactivation.ts";
import { windowLabels } from "../../lib/metrics/labels.ts";
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
  routingGrid,
  textActivations,
  trainingCurves,
} from "../../viz/index.ts";
import { ATTENTION, attentionOf, COMPARISON, largeTrace, piece, SMALL, seeded } from "./samples.ts";
import { VIEWS } from "./views.ts";

const names = Object.keys(VIEWS);

/** The largest figure of each view, with text as long as real text is. */
const LARGEST: Record<string, () => Figure> = {
  "routingGrid, 16 experts": () => routingGrid(largeTrace(384, 16, 4, 4)),
  "routingGrid, 128 experts": () => routingGrid(largeTrace(192, 128, 8, 4)),
  "routingGrid, 40 layers": () => routingGrid(largeTrace(59, 16, 4, 40)),
  "routingGrid, overview of 4 layers": () => routingGrid(largeTrace(2048, 16, 4, 4)),
  "routingGrid, overview of 40 layers": () => routingGrid(largeTrace(300, 16, 4, 40)),
  "routingGrid, overview of 128 experts": () => routingGrid(largeTrace(1500, 128, 8, 4)),
  "routerHeatmap, 16 experts": () => routerHeatmap(largeTrace(130, 16, 4, 1)),
  "routerHeatmap, 64 experts": () => routerHeatmap(largeTrace(130, 64, 8, 1)),
  attentionMap: () => {
    const random = seeded(2);
    const { pieces } = largeTrace(192, 1, 1, 1);
    return attentionMap({
      layer: 0,
      nHeads: 1,
      pieces: pieces!,
      pattern: Float32Array.from({ length: 192 * 192 }, random),
    });
  },
  textActivations: () => {
    const random = seeded(3);
    const [nTokens, dFf] = [256, 512];
    const { pieces } = largeTrace(nTokens, 1, 1, 1);
    const values = Float32Array.from({ length: nTokens * dFf }, () => random() - 0.5);
    return textActivations({
      layer: 0,
      expert: 1,
      dFf,
      pieces: pieces!,
      computed: new Uint8Array(nTokens).fill(1),
      values,
    });
  },
  "expertLoad, 16 layers of 64": () => expertLoad(loadPerExpert(largeTrace(100, 64, 8, 16))),
  "expertLoad, 6 layers of 512": () => expertLoad(loadPerExpert(largeTrace(100, 512, 8, 6))),
  "coactivation, 128 experts": () => coactivation(countTogether(largeTrace(2000, 128, 8, 1))),
  "domainSpecialization, 8 kinds by 128 experts": () => {
    const trace = largeTrace(800, 128, 8, 1);
    return domainSpecialization(trace, { labels: windowLabels(trace, 100), draws: 20 });
  },
  "dotPlot, 12 series of 20 rows": () => {
    const dots = Array.from({ length: 12 }, (_, s) => ({
      value: 10 + s,
      low: 8 + s,
      high: 12.3456 + s,
      otherwise: "8-shot",
    }));
    const rows = Array.from({ length: 20 }, (_, r) => ({ name: `a benchmark of some kind, number ${r}`, dots }));
    return dotPlot({ ...COMPARISON, series: dots.map((_, s) => `a model of some size, ${s}`), rows });
  },
  "trainingCurves, 4 panels of 40 layers": () => {
    const random = seeded(4);
    const steps = Array.from({ length: 2000 }, (_, i) => i);
    const values = Array.from({ length: 40 }, () => steps.map(random));
    const curves = ["loss", "load", "entropy", "saturation"].map((name) => ({ name, values }));
    return trainingCurves({ steps, curves });
  },
  "trainingCurves, 8 panels at 100 uneven steps": () => {
    const random = seeded(4);
    const steps = Array.from({ length: 100 }, (_, i) => i ** 2 + 1);
    const curves = Array.from({ length: 8 }, (_, i) => ({ name: `quantity ${i}`, values: steps.map(random) }));
    return trainingCurves({ steps, curves }, { logSteps: true });
  },
  "expertAblation, 4 kinds, 32 layers of 64": () => {
    const random = seeded(6);
    const numbers = (scale: number): Float64Array => Float64Array.from({ length: 2048 }, () => scale * random());
    const layers = Array.from({ length: 32 }, (_, layer) => layer);
    const kinds = ["zero", "mean", "renormalize", "reroute"].map((name) => ({ name, delta: numbers(0.01) }));
    return expertAblation({ layers, nExperts: 64, nTokens: 9999, baseLoss: 2, tokens: numbers(999), kinds });
  },
  "attentionHeads, 32 heads of 512 tokens": () => attentionHeads(attentionOf(512, 32)),
  "attentionHeads, 64 heads": () => attentionHeads(attentionOf(60, 64)),
  attentionArcs: () => attentionArcs(attentionOf(96, 1), { threshold: 0.042 }),
  "explorer, 16 experts": () => explorer(largeTrace(200, 16, 4, 6)),
  "explorer, 40 layers": () => explorer(largeTrace(200, 16, 4, 40)),
  "explorer, 128 experts": () => explorer(largeTrace(200, 128, 8, 4)),
  "logitLens, 10 layers by 48 tokens": () => {
    const random = seeded(7);
    const [rows, pieces] = [Array.from({ length: 10 }, (_, l) => `layer ${l}`), largeTrace(48, 1, 1, 1).pieces!];
    const topIds = Array.from({ length: 480 * 5 }, () => Math.floor(9999 * random()));
    const vocabulary = new Map(topIds.map((id) => [id, { ...piece(` prediction${id}`), id }]));
    return logitLens({ rows, pieces, dVocab: 9999, topIds, topProbs: topIds.map(random), vocabulary, lens: "x" });
  },
  "residualNorms, 40 layers by 128 tokens": () => {
    const random = seeded(8);
    const [rows, pieces] = [Array.from({ length: 40 }, (_, l) => `layer ${l}`), largeTrace(128, 1, 1, 1).pieces!];
    return residualNorms({ rows, pieces, norms: Float32Array.from({ length: 5120 }, random) });
  },
  "expertFlow, 8 layers of 16": () => expertFlow(largeTrace(500, 16, 4, 8)),
  "expertFlow, 4 layers of 64": () => expertFlow(largeTrace(500, 64, 8, 4)),
  "expertFlow, 2 layers of 128": () => expertFlow(largeTrace(500, 128, 8, 2)),
};

describe("a figure's bundle", () => {
  test.each(names)("of %s holds html, png and one line of text", (name) => {
    const bundle = VIEWS[name]!().bundle();
    expect(Object.keys(bundle)).toEqual(["text/html", "image/png", "text/plain"]);
    expect(Buffer.from(bundle["image/png"]!, "base64").subarray(1, 4).toString()).toBe("PNG");
    expect(bundle["text/plain"]).not.toContain("\n");
    expect(bundle["text/plain"]).toMatch(/\d/);
  });

  test.each(names)("of %s keeps picture, caption and table when a sanitiser strips it", (name) => {
    // The part of JupyterLab's allow-list that our html uses, with its defaults for everything else: scripts, styles
    // and svg go, and the source of an image is not checked.
    const clean: string = sanitize(VIEWS[name]!().bundle()["text/html"]!, {
      allowedTags: "bdi details div figcaption figure img p summary table tbody td th thead tr".split(" "),
      allowedAttributes: { "*": ["class", "style"], img: ["alt", "src"], details: ["open"] },
      allowedSchemesAppliedToAttributes: ["href", "cite"],
    });
    expect(clean).not.toMatch(/<script|<style|<svg|"view":/);
    const picture = /<img src="data:image\/svg\+xml;base64,([^"]+)" alt="([^"]+)"/.exec(clean)!;
    expect(Buffer.from(picture[1]!, "base64").toString()).toMatch(/^<svg .*<\/svg>$/s);
    expect(picture[2]!.length).toBeGreaterThan(40);
    expect(clean).toMatch(/<figcaption[^>]*>[^<]{40,}<\/figcaption>/);
    expect(clean.match(/<tr>/g)!.length).toBeGreaterThan(2);
  });

  test.each(Object.keys(LARGEST))("stays below 300 kB, its text no smaller than is legible: %s", (name) => {
    const figure = LARGEST[name]!();
    const size = Object.values(figure.bundle()).reduce((sum, part) => sum + part.length, 0);
    expect(size).toBeLessThan(300_000);
    const sizes = [...figure.svg.matchAll(/ font-size="([^"]+)"/g)].map((match) => Number(match[1]));
    expect(Math.min(...sizes)).toBeGreaterThanOrEqual(10);
  });

  test.each(names)("of %s names no other place", (name) => {
    const html = VIEWS[name]!().bundle()["text/html"]!;
    const addresses = html.match(/\b(?:https?:)?\/\/[\w.-]+\.\w+[^"'`\s]*/g) ?? [];
    expect(addresses.filter((address) => !address.startsWith("http://www.w3.org/"))).toEqual([]);
    expect(html).not.toMatch(/\brequire\(|\bimport\(|\bfetch\(/);
  });

  test("escapes hostile tokens wherever they stand", () => {
    const hostile = [
      piece("<img src=x onerror=alert(1)>"),
      piece("</script><script>alert(2)</script>"),
      piece('" onload="alert(3)'),
    ];
    for (const figure of [
      routingGrid({ ...SMALL, pieces: hostile }),
      routerHeatmap({ ...SMALL, pieces: hostile }),
      attentionMap({ ...ATTENTION, pieces: hostile }),
    ]) {
      const html = figure.bundle()["text/html"]!;
      expect(html.match(/<script/g)).toHaveLength(2);
      expect(html.match(/<\/script/g)).toHaveLength(2);
      expect(html.match(/<img/g)).toHaveLength(1);
      expect(html).not.toContain('" onload="');
      expect(figure.svg).not.toMatch(/<img|<script|" onload="/);
    }
  });

  test("says when its table is cut", () => {
    const html = expertLoad(loadPerExpert(largeTrace(10, 64, 8, 4))).bundle()["text/html"]!;
    expect(html).toContain("The first 100 of 256 rows; figure.data holds all.");
  });
});

describe("a figure", () => {
  test("shows itself as a hint in a console", () => {
    expect(inspect(routingGrid(SMALL))).toBe(
      'Figure "Routing by token and layer: 2 of 4 experts for each token": call show(figure) to see it',
    );
  });

  test("answers kernels that know the display symbol", () => {
    const figure = routingGrid(SMALL) as unknown as Record<symbol, () => Record<string, string>>;
    expect(Object.keys(figure[Symbol.for("Jupyter.display")]!())).toContain("text/html");
  });

  test.each(names)("of %s is a picture that needs no variables, with words for who cannot see it", (name) => {
    const { svg, title } = VIEWS[name]!();
    expect(svg).not.toContain("var(");
    expect(svg).toContain(`<title>${title}</title>`);
    expect(/<desc>([^<]+)<\/desc>/.exec(svg)![1]).toMatch(/\d/);
  });
});

describe("saving", () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "figure-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("writes svg, png and html files", () => {
    const figure = routingGrid(SMALL);
    figure.saveSvg(join(folder, "a.svg"));
    figure.savePng(join(folder, "a.png"));
    figure.saveHtml(join(folder, "a.html"));
    expect(readFileSync(join(folder, "a.svg"), "utf8")).toBe(figure.svg);
    const png = readFileSync(join(folder, "a.png"));
    const height = Number(/ height="([\d.]+)"/.exec(figure.svg)![1]);
    expect([png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([1680, Math.round(2 * height)]);
    expect(readFileSync(join(folder, "a.html"), "utf8")).toMatch(/^<!doctype html>/);
  });

  test("puts a picture on the ground that is asked for", () => {
    const figure = routingGrid(SMALL);
    figure.saveSvg(join(folder, "dark.svg"), { theme: "dark" });
    expect(readFileSync(join(folder, "dark.svg"), "utf8")).toContain('fill="#14181f" class="paper"');
    expect(figure.svg).toContain('fill="#ffffff" class="paper"');
  });

  test("refuses a theme that does not exist", () => {
    const theme = "blue" as "dark";
    expect(() => routingGrid(SMALL).png({ theme })).toThrow("png: theme must be light or dark, got blue");
  });
});
