/**
 * Counts tests from vitest's JSON report; a run that cannot be counted, or that ran no test, has failed.
 * @param {object | null} report null when vitest wrote none
 * @param {number} code vitest's exit code
 */
export function tally(report, code) {
  if (report === null) return { passed: 0, failed: 1 };
  const { numPassedTests: passed, numFailedTests, testResults } = report;
  // A file that does not load has no test that could fail.
  const unloaded = testResults.filter((file) => file.status === "failed" && file.assertionResults.length === 0).length;
  const failed = numFailedTests + unloaded;
  // An error outside of any test shows only in the exit code.
  const wrong = code !== 0 || passed === 0;
  return { passed, failed: failed === 0 && wrong ? 1 : failed };
}
