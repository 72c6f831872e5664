// Bundles the browser's script of the figures (viz/live) into viz/liveScript.ts, as text that every figure carries.
// The result is committed, so that the sources run without a build step; a test compares it with the sources.
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

/** A string literal as the formatter would write it: in the quotes that need fewer escapes. */
function quoted(text) {
  const double = JSON.stringify(text);
  const single = `'${double.slice(1, -1).replaceAll('\\"', '"').replaceAll("'", "\\'")}'`;
  return single.length < double.length ? single : double;
}

/** Stands in the script where its own hash will be. */
const PLACE = "SCRIPT-HASH";

/** The text of viz/liveScript.ts. */
export async function bundleText() {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../viz/live/main.ts", import.meta.url))],
    bundle: true,
    minify: true,
    write: false,
    format: "iife",
    target: "es2022",
    charset: "ascii",
    legalComments: "none",
    define: { SCRIPT_HASH: JSON.stringify(PLACE) },
  });
  const unnamed = outputFiles[0].text.trim();
  const hash = createHash("sha256").update(unnamed).digest("hex").slice(0, 12);
  const script = unnamed.replaceAll(PLACE, hash);
  return [
    "// Made by scripts/bundle.mjs from viz/live/main.ts: edit that, then run the script.",
    "export const LIVE_SCRIPT: string =",
    `  ${quoted(script)};`,
    "/** By which figures and scripts of one version find each other on a page. */",
    `export const LIVE_HASH = "${hash}";`,
    "",
  ].join("\n");
}

if (process.argv[1] === fileURLToPath(import.meta.url))
  writeFileSync(new URL("../viz/liveScript.ts", import.meta.url), await bundleText());
