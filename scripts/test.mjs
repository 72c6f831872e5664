// Plain JavaScript without dependencies, like the set-up that it begins with.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { check } from "./check.mjs";
import { root, SetupError, start } from "./run.mjs";
import { setUp } from "./setup.mjs";
import { tally } from "./tally.mjs";

/** Runs vitest with the arguments given to us. */
async function test() {
  const report = join(root, ".cache", "vitest.json");
  rmSync(report, { force: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const vitest = join(root, "node_modules", ".bin", "vitest");
  const code = await start(vitest, ["run", ...reporters, ...process.argv.slice(2)]).ended;
  return tally(existsSync(report) ? JSON.parse(readFileSync(report, "utf8")) : null, code);
}

let passed = 0;
let failed = 0;
try {
  await setUp();
  failed = await check();
  const tests = await test();
  passed = tests.passed;
  failed += tests.failed;
} catch (error) {
  if (!(error instanceof SetupError)) throw error;
  console.error(error.message);
  failed = 1;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
