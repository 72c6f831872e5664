import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { writeWhole } from "../../../lib/checkpoint/node.ts";
import { loadTrace, saveTrace } from "../../../lib/trace/node.ts";
import { failure, fullTrace } from "./traces.ts";

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "moescope-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

describe("a trace on disk", () => {
  test("is what was saved", async () => {
    const trace = fullTrace([3, 4]);
    await saveTrace(join(folder, "a.parquet"), trace);
    expect(await loadTrace(join(folder, "a.parquet"))).toEqual(trace);
    expect(await readdir(folder)).toEqual(["a.parquet"]);
  });

  test("is refused where there is none", async () => {
    expect(await failure(loadTrace(join(folder, "none")))).toMatch(/none: must be a readable file, got ENOENT/);
  });
});

describe("writeWhole", () => {
  test("leaves the former file as it was where writing fails, and nothing beside it", async () => {
    const path = join(folder, "a");
    await writeFile(path, "before");
    const failing = writeWhole(path, async (sink) => {
      await sink(Uint8Array.of(1, 2, 3));
      throw new RangeError("no more");
    });
    await expect(failing).rejects.toThrow(new RangeError("no more"));
    expect(await readFile(path, "utf8")).toBe("before");
    expect(await readdir(folder)).toEqual(["a"]);
  });

  test("says which file cannot be written and why", async () => {
    const path = join(folder, "none", "a");
    expect(await failure(writeWhole(path, async () => {}))).toMatch(/a: must be writable, got ENOENT/);
  });
});
