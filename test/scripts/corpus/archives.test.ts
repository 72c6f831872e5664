import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { type Package, packageFolder, sha256 } from "../../../scripts/corpus/archives.ts";

let cache: string;
beforeEach(() => {
  cache = mkdtempSync(join(tmpdir(), "corpus-"));
});
afterEach(() => rmSync(cache, { recursive: true, force: true }));

/** Puts an archive with one file where a download would, and returns the package as pinned. */
function put(content: string): Package {
  const folder = join(cache, "npm-some_tool-1.0.0");
  mkdirSync(join(folder, "..", "made"), { recursive: true });
  mkdirSync(folder);
  writeFileSync(join(cache, "made", "file.txt"), content);
  const archive = join(folder, "some-tool-1.0.0.tgz");
  execFileSync("tar", ["czf", archive, "-C", join(cache, "made"), "file.txt"]);
  return { registry: "npm", name: "some/tool", version: "1.0.0", sha256: sha256(readFileSync(archive)) };
}

test("the hash is SHA-256", () => {
  expect(sha256("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
});

test("an archive that is there is checked and extracted, once", () => {
  const pinned = put("text");
  const folder = packageFolder(pinned, cache);
  expect(readFileSync(join(folder, "file.txt"), "utf8")).toBe("text");
  writeFileSync(join(folder, "file.txt"), "kept");
  expect(readFileSync(join(packageFolder(pinned, cache), "file.txt"), "utf8")).toBe("kept");
});

test("an archive with another hash is refused and not extracted", () => {
  const pinned = { ...put("text"), sha256: "0".repeat(64) };
  expect(() => packageFolder(pinned, cache)).toThrow(/some-tool-1\.0\.0\.tgz: sha256 must be 0{64}, got [0-9a-f]{64}/);
  expect(() => packageFolder(pinned, cache)).toThrow("sha256 must be");
});

test("a client that is missing or fails is named with what it said", () => {
  const path = process.env["PATH"];
  process.env["PATH"] = cache;
  try {
    const missing: Package = { registry: "debian", name: "nothing", version: "1", sha256: "" };
    expect(() => packageFolder(missing, cache)).toThrow("corpus: `apt-get download nothing=1` failed:");
  } finally {
    process.env["PATH"] = path;
  }
});
