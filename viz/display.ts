import { createRequire } from "node:module";
import type { Figure, MimeBundle } from "./figure.ts";
import { type ScriptSource, scriptHtml } from "./html.ts";
import { maybeOneOf } from "./options.ts";

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

type Kernel = TslabPublic & { jupyter: TslabJupyter };

export interface InitOptions {
  /**
   * Where figures have their script from.
   * - `once` (where absent): this cell's output holds it, and each figure shown later is some 40 kB smaller. Where that output
   *   is not on the page, a figure stands as its picture and says which cell it waits for.
   * - `each`: every figure brings it along, as without `init`: for Colab, where outputs do not see each other, and for
   *   figures that are taken out of the notebook.
   * - `none`: figures are pictures with a table.
   */
  bundle?: ScriptSource;
}

const SOURCES: readonly ScriptSource[] = ["once", "each", "none"];

/** How figures are sent: a setting of this kernel, as long as it runs. */
let source: ScriptSource = "each";

/**
 * Says where the figures shown from now on have their script from, and with `once` puts it into this cell's output.
 * @throws RangeError for a source that does not exist
 * @example init({ bundle: "once" })
 */
export function init(options: InitOptions = {}): void {
  source = maybeOneOf("init", "bundle", options.bundle, SOURCES, "once");
  const kernel = runningKernel();
  if (source !== "once" || kernel === null) return;
  send(kernel, { "text/html": scriptHtml(), "text/plain": "The script of the figures stands here." });
}

/**
 * Shows a figure: in a tslab notebook with every MIME type at once, elsewhere as its line of text on the console.
 * @example show(routingGrid(trace))
 */
export function show(figure: Figure): void {
  const kernel = runningKernel();
  if (kernel === null) console.log(figure.text);
  else send(kernel, figure.bundle(source));
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

function send(kernel: Kernel, data: MimeBundle): void {
  if (typeof kernel.jupyter.lastWriteDisplayData === "function")
    kernel.jupyter.lastWriteDisplayData({ data, metadata: {}, transient: {} }, false);
  else kernel.display.html(data["text/html"]!);
}

/**
 * The tslab that runs this code, wherever it is installed: its modules are already loaded, so they stand in the cache of
 * CommonJS modules, and outside a kernel none does. The public API sends one MIME type an output; a bundle goes out
 * through the function that the API itself calls.
 */
function runningKernel(): Kernel | null {
  const require = createRequire(import.meta.url);
  const path = Object.keys(require.cache).find((file) => /[\\/]tslab[\\/]dist[\\/]jupyter\.js$/.test(file));
  if (path === undefined) return null;
  const jupyter = require(path) as TslabJupyter;
  if (jupyter.lastWriteDisplayData === null) return null;
  return { jupyter, ...(require(path.replace(/jupyter\.js$/, "public.js")) as TslabPublic) };
}
