import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

test("the run of true width goes through at a small width, and reads what it should", async () => {
  const dir = await mkdtemp(join(tmpdir(), "moescope-"));
  const args = ["--shape", "small", "--layers", "3", "--budget", "14e6", "--tokens", "24", "--cached"];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ["--import", "tsx", "bench/stream.ts", ...args, "--folder", join(dir, "model")],
    { cwd: ROOT },
  );
  // Of each of 3 layers attention, a matrix of 192 x 320 and one of 192 x 192, and 16 experts of 3 x 192 x 336;
  // the unembedding and 24 rows of the embedding, of 1000 x 192; two bytes each. 24 tokens reach all experts.
  const read = 2 * (3 * (192 * (320 + 192) + 16 * 3 * 192 * 336) + 192 * (1000 + 24));
  expect(stdout).toMatch(/^small, 3 layer\(s\): 0\.02 GB written in \d+ s\nrun 1: 24 tokens in /);
  expect(stdout).toContain(`read ${(read / 1e9).toFixed(2)} GB`);
  expect(stdout).toMatch(/all 8 layers \(0\.05 GB\) would take \d+ s\n/);
  expect(stdout).toMatch(/resident memory, for a budget of 0\.01 GB\n/);
  expect(existsSync(join(dir, "model"))).toBe(false);
  await rm(dir, { recursive: true });
});
