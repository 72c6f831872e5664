import { spawn } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { exists, loadTokenizer, readJson } from "../../lib/checkpoint/folder.ts";
import { readTexts, tokensOf } from "../../lib/cli/corpus.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** Runs the steps of the short chain; what it returns ends it and what it started, and tells how it went. */
function reference(
  folder: string,
  ...steps: string[]
): { ended: Promise<{ code: number | null; err: string }>; kill: () => void } {
  const args = ["--import", "tsx", "scripts/reference.ts", "--short", folder, ...steps];
  const child = spawn(process.execPath, args, { cwd: ROOT, detached: true, stdio: ["ignore", "ignore", "pipe"] });
  let err = "";
  child.stderr.on("data", (piece: Buffer) => {
    err += piece.toString();
  });
  return {
    ended: new Promise((resolve) => child.once("close", (code) => resolve({ code, err }))),
    kill: () => process.kill(-child.pid!, "SIGKILL"),
  };
}

/** The mean of a corpus' surprise if each token were drawn by its share alone, in nats. */
function unigramEntropy(tokens: Uint16Array): number {
  const counts = new Map<number, number>();
  for (const token of tokens) counts.set(token, (counts.get(token) ?? 0) + 1);
  return [...counts.values()].reduce((nats, n) => nats - (n / tokens.length) * Math.log(n / tokens.length), 0);
}

describe("the chain from text to model, shortened", { timeout: 600_000 }, () => {
  let whole: string;
  let broken: string;
  beforeAll(async () => {
    [whole, broken] = [await mkdtemp(join(tmpdir(), "moescope-")), await mkdtemp(join(tmpdir(), "moescope-"))];
    const { code, err } = await reference(whole, "corpus", "tokenizer", "model").ended;
    expect(code, err).toBe(0);
  }, 600_000);
  afterAll(async () => {
    for (const folder of [whole, broken]) await rm(folder, { recursive: true });
  });

  test("learns more than the shares of the tokens: its loss falls below their entropy, on text that it has not seen too", async () => {
    const tokenizer = await loadTokenizer(join(whole, "corpus"));
    const texts = await readTexts(join(whole, "corpus/train"));
    expect([...texts.keys()]).toEqual(["english", "maths", "typescript"]);
    const entropy = unigramEntropy(tokensOf([...texts.values()].flat(), tokenizer));
    const curve = (await readFile(join(whole, "model/curve.jsonl"), "utf8")).trimEnd().split("\n");
    const losses = curve.map((line) => (JSON.parse(line) as { crossEntropy: number }).crossEntropy);
    expect(losses[0]).toBeGreaterThan(entropy);
    expect(losses.slice(-10).reduce((sum, loss) => sum + loss, 0) / 10).toBeLessThan(entropy - 0.5);
    const heldOut = (await readJson(join(whole, "model/heldout.json"))) as { natsPerToken: number; nTokens: number }[];
    const nTokens = heldOut.reduce((sum, kind) => sum + kind.nTokens, 0);
    const nats = heldOut.reduce((sum, kind) => sum + kind.natsPerToken * kind.nTokens, 0) / nTokens;
    expect(nats).toBeLessThan(entropy);
  });

  test("killed while it trains, and begun anew from nothing but its state, it ends with the same bytes", async () => {
    for (const part of ["corpus", "run.json"]) await cp(join(whole, part), join(broken, part), { recursive: true });
    const { ended, kill } = reference(broken, "model");
    const state = join(broken, "state.safetensors");
    while (!(await exists(state)) && (await Promise.race([ended, setTimeout(20)])) === undefined);
    await setTimeout(100);
    kill();
    expect((await ended).code).toBeNull();
    await rm(join(broken, "corpus"), { recursive: true });

    const { code, err } = await reference(broken).ended;
    expect(code, err).toBe(0);
    expect(err).toMatch(/going on from step [1-9]\d* of 100/);
    for (const name of ["corpus/tokenizer.json", "model/model.safetensors", "model/heldout.json", "model/curve.jsonl"])
      expect((await readFile(join(broken, name))).equals(await readFile(join(whole, name))), name).toBe(true);
    // What measures the model ran too.
    const files = await readdir(join(broken, "model"));
    expect(files).toEqual(expect.arrayContaining(["references.json", "samples.json", "specialization.json"]));
  });
});
