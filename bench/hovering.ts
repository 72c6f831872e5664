/** What a pointer's move over a figure costs the page, and how long it takes until it is seen, by Chromium's own trace. */
import type { Page } from "playwright-core";

/** Processor time in milliseconds that one move costs, by where it goes, and its way to the screen. */
export interface Hover {
  /** The handler, without the style and layout that it asks for. */
  script: number;
  /** Style and layout. */
  layout: number;
  /** Pre-paint, paint and layers. */
  paint: number;
  /** Painting tiles, in the compositor's workers. */
  raster: number;
  /** Putting tiles on the screen, which a graphics card does where there is one. */
  draw: number;
  /** Milliseconds from the pointer's move until its frame is on the screen, the median. */
  latency: number;
}

interface TraceEvent {
  name: string;
  ph: string;
  ts: number;
  /** Processor time in microseconds. */
  tdur?: number;
  pid: number;
  id?: string;
  id2?: { local?: string };
}

const MOVES = 20;

/** Events of the trace, by where their time counts. */
const PARTS = {
  style: ["UpdateLayoutTree", "Layout"],
  paint: ["PrePaint", "Paint", "Layerize"],
  raster: ["RasterTask"],
  draw: ["Display::DrawAndSwap"],
};

const CATEGORIES = ["devtools.timeline", "cc", "viz", "input", "benchmark"];

/** Moves the pointer over an element, each time to another cell, and waits until it is seen. */
async function move(page: Page, selector: string, moves: number): Promise<void> {
  const box = (await page.locator(selector).first().boundingBox())!;
  for (let i = 0; i < moves; i++) {
    await page.mouse.move(box.x + 90 + 20 * i, box.y + 130 + 5 * i);
    await page.evaluate(
      "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done, 30))))",
    );
  }
}

/** Measures twenty moves, after some that warm the page up. */
export async function hovering(page: Page, selector: string): Promise<Hover> {
  await move(page, selector, 8);
  const session = await page.context().newCDPSession(page);
  const events: TraceEvent[] = [];
  session.on("Tracing.dataCollected", ({ value }) => events.push(...(value as unknown as TraceEvent[])));
  const traceConfig = { includedCategories: CATEGORIES, excludedCategories: ["*"] };
  await session.send("Tracing.start", { transferMode: "ReportEvents", traceConfig });
  await move(page, selector, MOVES);
  const complete = new Promise<void>((done) => void session.once("Tracing.tracingComplete", () => done()));
  await session.send("Tracing.end");
  await complete;
  const spent = (names: readonly string[]): number => {
    const own = events.filter(({ name, ph }) => ph === "X" && names.includes(name));
    return own.reduce((sum, { tdur = 0 }) => sum + tdur, 0) / 1000 / MOVES;
  };
  const layout = spent(PARTS.style);
  // The handler asks for the tooltip's size, and so for nearly all style and layout that there is.
  const script = Math.max(0, spent(["EventDispatch"]) - layout);
  const [paint, raster, draw] = [spent(PARTS.paint), spent(PARTS.raster), spent(PARTS.draw)];
  return { script, layout, paint, raster, draw, latency: latencyOf(events) };
}

/** The median of what Chromium says of each event: from the move to the frame that shows it. */
function latencyOf(events: readonly TraceEvent[]): number {
  const begun = new Map<string, number>();
  const times: number[] = [];
  for (const { name, ph, ts, pid, id, id2 } of events.toSorted((a, b) => a.ts - b.ts)) {
    if (name !== "EventLatency") continue;
    const key = `${pid} ${id ?? id2?.local}`;
    if (ph === "b") begun.set(key, ts);
    else if (ph === "e" && begun.has(key)) times.push((ts - begun.get(key)!) / 1000);
  }
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN;
}
