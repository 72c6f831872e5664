import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
// @ts-expect-error: plain JavaScript, like every script of the set-up
import { bundleText } from "../../scripts/bundle.mjs";
import { LIVE_SCRIPT } from "../../viz/liveScript.ts";

test("the browser's script is what its sources give", async () => {
  const committed = readFileSync(new URL("../../viz/liveScript.ts", import.meta.url), "utf8");
  expect(committed === (await bundleText()), "run scripts/bundle.mjs and commit viz/liveScript.ts").toBe(true);
});

test("the browser's script is small and cannot end its own element", () => {
  expect(LIVE_SCRIPT.length).toBeLessThan(48_000);
  expect(LIVE_SCRIPT).not.toMatch(/<\/script|<!--/i);
  expect(LIVE_SCRIPT).toMatch(/^[\t\n -~]*$/);
});
