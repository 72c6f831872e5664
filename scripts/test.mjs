// Plain JavaScript without dependencies, like the set-up that it begins with.
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { check } from "./check.mjs";
import { root, SetupError, start } from "./run.mjs";
import { setUp } from "./setup.mjs";

/** Runs vitest with the arguments given to us and counts from its own report. */
async function test() {
  const report = join(root, ".cache", "vitest.json");
  rmSync(report, { force: true });
  const reporters = ["--reporter=default", "--reporter=json", `--outputFile.json=${report}`];
  const code = await start(join(root, "node_modules", ".bin", "vitest"), [
    "run",
    ...reporters,
    ...process.argv.slice(2),
  ]).ended;
  if (!existsSync(report)) return { passed: 0, failed: 1 };
  const { numPassedTests, numFailedTests, testResults } = JSON.parse(readFileSync(report, "utf8"));
  // A file that fails to load has no test that could fail; an error outside of any test shows only in the exit code.
  const unloaded = testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
  const failed = numFailedTests + unloaded;
  const silent = numPassedTests === 0 || code !== 0 ? 1 : 0;
  return { passed: numPassedTests, failed: failed || silent };
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
