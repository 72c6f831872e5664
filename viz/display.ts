import { createRequire } from "node:module";
import type { Figure, MimeBundle } from "./figure.ts";

interface TslabJupyter {
  lastWriteDisplayData?:
    | ((content: { data: MimeBundle; metadata: object; transient: object }, update: boolean) => void)
    | null;
}

interface TslabPublic {
  display: { html(html: string): void };
  /** An output that each call overwrites. */
  newDisplay(): { text(text: string): void };
}

/**
 * Shows a figure: in a tslab notebook with every MIME type at once, elsewhere as its line of text on the console.
 * @example show(routingGrid(trace))
 */
export function show(figure: Figure): void {
  const kernel = runningKernel();
  if (kernel === null) {
    console.log(figure.text);
    return;
  }
  const data = figure.bundle();
  if (typeof kernel.jupyter.lastWriteDisplayData === "function")
    kernel.jupyter.lastWriteDisplayData({ data, metadata: {}, transient: {} }, false);
  else kernel.display.html(data["text/html"]!);
}

/**
 * A text that each call replaces: in a tslab notebook one output, elsewhere a line on the console each time.
 * @example
 * const say = liveText();
 * await train(run, tokens, { onStep: (progress) => say(progressText(progress)) });
 */
export function liveText(): (text: string) => void {
  const kernel = runningKernel();
  if (kernel === null) return (text) => console.log(text);
  const display = kernel.newDisplay();
  return (text) => display.text(text);
}

/**
 * The tslab that runs this code, wherever it is installed: its modules are already loaded, so they stand in the cache of
 * CommonJS modules, and outside a kernel none does. The public API sends one MIME type an output; a bundle goes out
 * through the function that the API itself calls.
 */
function runningKernel(): (TslabPublic & { jupyter: TslabJupyter }) | null {
  const require = createRequire(import.meta.url);
  const path = Object.keys(require.cache).find((file) => /[\\/]tslab[\\/]dist[\\/]jupyter\.js$/.test(file));
  if (path === undefined) return null;
  const jupyter = require(path) as TslabJupyter;
  if (jupyter.lastWriteDisplayData === null) return null;
  return { jupyter, ...(require(path.replace(/jupyter\.js$/, "public.js")) as TslabPublic) };
}
