import type { Live } from "../contract.ts";
import { bytesOf } from "../unpack.ts";
import { attentionArcs } from "./attentionArcs.ts";
import { attentionHeads } from "./attentionHeads.ts";
import { attentionMap } from "./attentionMap.ts";
import { coactivation } from "./coactivation.ts";
import { domainSpecialization } from "./domainSpecialization.ts";
import { dotPlot } from "./dotPlot.ts";
import { expertAblation } from "./expertAblation.ts";
import { expertFlow } from "./expertFlow.ts";
import { expertLoad } from "./expertLoad.ts";
import { explorer } from "./explorer.ts";
import { logitLens } from "./logitLens.ts";
import { residualNorms } from "./residualNorms.ts";
import { routerHeatmap } from "./routerHeatmap.ts";
import { routerSteps } from "./routerSteps.ts";
import { routingGrid } from "./routingGrid.ts";
import { routingOverview } from "./routingOverview.ts";
import { stage, type View } from "./stage.ts";
import { textActivations } from "./textActivations.ts";
import { trainingCurves } from "./trainingCurves.ts";

const VIEWS: { [Name in Live["view"]]: (live: Extract<Live, { view: Name }>) => View } = {
  routingGrid,
  routingOverview,
  routerHeatmap,
  attentionMap,
  textActivations,
  expertLoad,
  expertFlow,
  coactivation,
  domainSpecialization,
  dotPlot,
  trainingCurves,
  expertAblation,
  attentionHeads,
  attentionArcs,
  logitLens,
  residualNorms,
  routerSteps,
  explorer,
};

/** The first digits of this script's own hash, put in when it is bundled. */
declare const SCRIPT_HASH: string;

/** Where scripts of figures find each other on a page: by hash, what wakes every figure that one of them can wake. */
const scripts = ((globalThis as { moescope?: Record<string, () => void> }).moescope ??= {});

/** The largest error that packing gave to a number of a figure. */
function errorOf(value: unknown): number {
  if (typeof value !== "object" || value === null) return 0;
  if ("step" in value && "type" in value && String(value.type).startsWith("q")) return Number(value.step) / 2;
  return Math.max(0, ...Object.values(value).map(errorOf));
}

/** Brings a figure's picture to life. The picture goes only when its successor stands. */
function wake(figure: HTMLElement): void {
  const picture = figure.querySelector<HTMLImageElement>(":scope > div > img");
  const data = figure.querySelector('script[type="application/json"]')?.textContent;
  if (picture === null || data === null || data === undefined || figure.dataset["state"] === "failed") return;
  figure.querySelector(":scope > .waiting")?.remove();
  const column = picture.parentElement!;
  const host = document.createElement("div");
  try {
    const live = JSON.parse(data) as Live;
    const markup = new TextDecoder().decode(bytesOf(picture.src.split(",")[1]!));
    const parsed = new DOMParser().parseFromString(markup, "image/svg+xml");
    const svg = document.importNode(parsed.documentElement, true) as unknown as SVGSVGElement;
    column.after(host);
    const viewOf = VIEWS[live.view] as (live: Live) => View;
    stage(host, svg, live.blocks, viewOf(live), errorOf(live));
    column.remove();
  } catch (error) {
    host.remove();
    figure.dataset["state"] = "failed";
    const note = document.createElement("p");
    note.textContent = `This figure stays a picture: ${String(error)}`;
    column.after(note);
  }
}

// A figure that brings no script of its own calls this, and so does one that comes when the script is already here.
scripts[SCRIPT_HASH] ??= () => {
  for (const figure of document.querySelectorAll<HTMLElement>(`figure.moescope[data-script="${SCRIPT_HASH}"]`))
    wake(figure);
};
scripts[SCRIPT_HASH]();
