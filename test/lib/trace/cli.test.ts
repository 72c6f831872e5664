import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadModel, loadTokenizer } from "../../../lib/checkpoint/folder.ts";
import { fileSource } from "../../../lib/checkpoint/node.ts";
import { hookName } from "../../../lib/hooks.ts";
import { readCounts } from "../../../lib/trace/countsFile.ts";
import { loadTrace } from "../../../lib/trace/node.ts";
import { expected, fixture, type Held } from "./fixtures.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const MODEL = join(root, "models/reference");

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "moescope-"));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

/** Runs a command line in the temporary folder. */
function moescope(...args: string[]): { status: number | null; stdout: string; error: string } {
  const command = ["--import", join(root, "node_modules/tsx/dist/esm/index.mjs"), join(root, "lib/cli/main.ts")];
  const { status, stdout, stderr } = spawnSync(process.execPath, [...command, ...args], {
    cwd: folder,
    encoding: "utf8",
  });
  return { status, stdout, error: stderr.trim().split("\n").at(-1)! };
}

async function put(path: string, text: string | Uint8Array): Promise<string> {
  await mkdir(join(folder, path, ".."), { recursive: true });
  await writeFile(join(folder, path), text);
  return path;
}

describe("moescope trace", () => {
  test("writes the routing of each text in windows, each with its folder's name as domain", async () => {
    const prose = "The experts of a layer share the work between them. ".repeat(4);
    const files = [await put("code/a.ts", "const x = 1;\n"), await put("prose/b.txt", prose)];
    const { status, stdout } = moescope("trace", MODEL, ...files, "--out", "out", "--window", "16", "--probs");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^\d+ tokens of 2 texts \(code, prose\) written to out.trace\.parquet\n$/);
    expect(await readdir(join(folder, "out"))).toEqual(["trace.parquet"]);

    const trace = await loadTrace(join(folder, "out/trace.parquet"));
    const tokenizer = await loadTokenizer(MODEL);
    const [code, ids] = ["const x = 1;\n", prose].map((text) => tokenizer.encode(text)) as [number[], number[]];
    expect([...trace.tokenIds]).toEqual([...code, ...ids]);
    expect(trace.sequenceOffsets[2]! - trace.sequenceOffsets[1]!).toBe(16);
    expect(trace.domains).toEqual(["code", ...Array.from({ length: Math.ceil(ids.length / 16) }, () => "prose")]);
    expect(trace.pieces!.map(({ text }) => text).join("")).toBe(`const x = 1;\n${prose}`);

    // The second window of the prose starts anew: it is routed as a text of its own.
    const model = await loadModel(MODEL);
    const { logits, cache } = model.runWithCache(ids.slice(16, 32), { names: "blocks.2.mlp.hook_*" });
    const experts = cache.get(hookName(2, "mlp.hook_expert_indices")).dataSync();
    const probs = cache.get(hookName(2, "mlp.hook_router_probs")).dataSync();
    for (let t = 0; t < 16; t++) {
      const row = (code.length + 16 + t) * model.config.nLayers + 2; // the third layer
      expect([...trace.expertIndices.subarray(row * 4, row * 4 + 4)]).toEqual([...experts.subarray(t * 4, t * 4 + 4)]);
      expect(trace.routerProbs![row * 16]).toBeCloseTo(probs[t * 16]!, 5);
    }
    cache.dispose();
    logits.dispose();
    model.dispose();
  });

  test("says in one line what is wrong, and leaves nothing behind", async () => {
    const file = await put("a.txt", "");
    expect(moescope("trace", MODEL)).toMatchObject({
      status: 2,
      error: expect.stringMatching(/^moescope: must be given MODEL, FILE\.\.\., got /),
    });
    expect(moescope("trace", MODEL, file, "--out", "out", "--window", "513")).toMatchObject({
      status: 2,
      error: expect.stringMatching(/^moescope: --window must be from 1 to the model's context \(512\), got 513/),
    });
    expect(moescope("trace", MODEL, "none.txt", "--out", "out")).toMatchObject({
      status: 1,
      error: expect.stringMatching(/^none\.txt: must be a readable file, got ENOENT/),
    });
    expect(moescope("trace", MODEL, file, "--out", "out")).toMatchObject({
      status: 1,
      error: "moescope trace: the texts must have at least one token, got none",
    });
    expect(await readdir(folder)).toEqual(["a.txt"]);
  });

  test("says in one line that a dense model has nothing to trace", () => {
    expect(moescope("trace", join(root, "test/golden/families/llama"), "none.txt", "--out", "out")).toMatchObject({
      status: 1,
      error: "moescope trace: the model must have experts, got a dense llama, which has no router",
    });
  });
});

interface Printed {
  topK: number | null;
  nTokens: number | null;
  metrics: Record<string, unknown>;
  refused: Record<string, string>;
}
const metricsOf = (...args: string[]): Printed => JSON.parse(moescope("metrics", ...args, "--json").stdout) as Printed;

describe("moescope import and metrics", () => {
  test("turn answers of vLLM into a trace and show each layer's load beside chance", async () => {
    await put("a.jsonl", fixture("vllm/base64.jsonl"));
    const imported = moescope("import", "a.jsonl", "--out", "a.parquet", "--experts", "8", "--layer-numbers", "3,4,5");
    expect(imported.status).toBe(0);
    expect(imported.stdout).toMatch(
      /^\d+ tokens of 1 file\(s\) written to a\.parquet\na\.jsonl: layers 3 hold no routing/,
    );

    const { expertIndices } = (expected("vllm.json") as Record<string, Held>)["base64.jsonl"]!;
    const ofLayer = expertIndices.filter((_, i) => i % 4 < 2); // the first of two layers, of two experts each
    const share = Array.from({ length: 8 }, (_, e) => ofLayer.filter((id) => id === e).length / ofLayer.length);
    const { metrics, refused } = metricsOf("a.parquet", "--draws", "20");
    const [first, second] = metrics["load"] as Record<string, unknown>[];
    expect([first!["layer"], second!["layer"]]).toEqual([4, 5]);
    expect(first).toMatchObject({ share, nTokens: ofLayer.length / 2, maxShare: Math.max(...share) });
    expect(first!["chance"]).toMatchObject({ share: { mean: 1 / 8 } });
    // vLLM sends neither ranks nor probabilities nor text: what needs them says so, and the rest is there.
    const order = "the trace must keep the experts in order of preference";
    expect(refused).toMatchObject({
      loadByRank: expect.stringContaining(order),
      adjacentCoactivation: expect.stringMatching(/^coactivation: pairs must be "all" for a sketch without rank order/),
      trajectories: expect.stringContaining(order),
      expertFlow: expect.stringContaining(order),
      confidence: expect.stringContaining("the router probabilities of all experts"),
      tokenClasses: expect.stringContaining("the tokens' text"),
      domains: expect.stringMatching(/^domainLabels: there must be one domain for each sequence/),
      saliency: "needs the experts' outputs (hook_expert_out)",
    });
    const has = [
      "coactivation",
      "repetition",
      "transitions",
      "vocabulary",
      "coverage",
      "cacheHitRate",
      "capacityDrops",
    ];
    expect(Object.keys(metrics)).toEqual(expect.arrayContaining(has));
    expect(Object.keys((metrics["repetition"] as object[])[0]!)).not.toContain("firstChoice");
    const { stdout } = moescope("metrics", "a.parquet", "--only", "load,deviceBalance");
    expect(stdout).toMatch(/8 experts, 2 per token, \d+ tokens\n[^]*\n4 +0\.\d{3} \(0\.\d{3} to /);
    expect(stdout).not.toContain("[repetition]");
  });

  test("join traces of several files, and keep counts as counts", async () => {
    await put("a.jsonl", fixture("olmoe/dump.jsonl"));
    await put("b.gguf", fixture("imatrix/batches.gguf"));
    expect(moescope("import", "a.jsonl", "a.jsonl", "--out", "a.parquet", "--experts", "6").status).toBe(0);
    const { tokenIds, expertIndices } = (expected("olmoe.json") as Record<string, Held>)["dump.jsonl"]!;
    const trace = await loadTrace(join(folder, "a.parquet"));
    expect([...trace.tokenIds]).toEqual([...tokenIds, ...tokenIds]);
    expect([...trace.expertIndices]).toEqual([...expertIndices, ...expertIndices]);

    expect(moescope("import", "b.gguf", "--out", "b.parquet").stdout).toMatch(/experts per token are not known/);
    const { counts } = expected("imatrix.json") as { counts: number[] };
    const { topK, metrics, refused } = metricsOf("b.parquet");
    const [load] = metrics["load"] as { maxShare: number; chance: null }[];
    const ofLayer = counts.slice(0, 6);
    expect(load!.maxShare).toBeCloseTo(Math.max(...ofLayer) / ofLayer.reduce((a, b) => a + b, 0), 10);
    expect([topK, load!.chance]).toEqual([null, null]);
    expect(Object.keys(metrics)).toEqual(["load"]);
    expect(refused).toMatchObject({
      coactivation: "needs a trace, and not only counts",
      deviceBalance: expect.stringContaining("the experts per token must be known"),
    });

    expect(moescope("import", "a.jsonl", "b.gguf", "--out", "c.parquet", "--experts", "6")).toMatchObject({
      status: 1,
      error: "b.gguf: must hold trace as a.jsonl does, got counts",
    });
    expect((await readdir(folder)).sort()).toEqual(["a.jsonl", "a.parquet", "b.gguf", "b.parquet"]);
  });

  test("take several files as one: sequences of traces, sums of counts", async () => {
    await put("a.jsonl", fixture("olmoe/dump.jsonl"));
    await put("b.gguf", fixture("imatrix/whole.gguf"));
    moescope("import", "a.jsonl", "--out", "a.parquet", "--experts", "6");
    const { tokenIds, layers, expertIndices } = (expected("olmoe.json") as Record<string, Held>)["dump.jsonl"]!;
    const { nTokens, metrics } = metricsOf("a.parquet", "a.parquet", "--only", "load,repetition", "--draws", "10");
    expect(nTokens).toBe(2 * tokenIds.length);
    const topK = expertIndices.length / (tokenIds.length * layers.length);
    const ofLayer = expertIndices.filter((_, i) => Math.floor(i / topK) % layers.length === 0);
    const share = Array.from({ length: 6 }, (_, e) => ofLayer.filter((id) => id === e).length / ofLayer.length);
    expect(metrics["load"]).toMatchObject([{ nTokens, share }, ...layers.slice(1).map(() => ({ nTokens }))]);
    expect(metrics).toHaveProperty("repetition");

    const twice = moescope("import", "b.gguf", "b.gguf", "--out", "b.parquet");
    expect(twice).toMatchObject({ status: 0, stdout: expect.stringMatching(/^counts of 2 file\(s\) written/) });
    const source = await fileSource(join(folder, "b.parquet"));
    const { counts } = expected("imatrix.json") as { counts: number[] };
    expect([...(await readCounts(source)).counts]).toEqual(counts.map((n) => 2 * n));
    await source.close();
    expect(moescope("metrics", "a.parquet", "b.parquet")).toMatchObject({
      status: 1,
      error: expect.stringMatching(/^mergeCounts: engine must be "olmoe" as in the first, got "llama\.cpp"$/),
    });
  });

  test("say in one line what is wrong, and write nothing", async () => {
    await put("a.txt", "text");
    await put("a.jsonl", fixture("vllm/base64.jsonl"));
    expect(moescope("import", "a.txt")).toMatchObject({ status: 2, error: expect.stringMatching(/given --out FILE/) });
    expect(moescope("import", "a.txt", "--out", "x")).toMatchObject({
      status: 1,
      error: "a.txt: must be a recording of a known kind, got another file",
    });
    expect(moescope("import", "a.jsonl", "--out", "x")).toMatchObject({
      status: 1,
      error: "a.jsonl: nExperts must be given, for the file does not say it; got none",
    });
    expect(moescope("metrics", "a.txt")).toMatchObject({
      status: 1,
      error: expect.stringMatching(/^a\.txt: must be a whole Parquet file/),
    });
    expect(moescope("metrics", "a.txt", "--only", "none")).toMatchObject({
      status: 2,
      error: expect.stringMatching(/^moescope: --only must name some of load, loadByRank, .*, got none \(usage/),
    });
    expect(moescope("metrics", "a.txt", "--draws", "1")).toMatchObject({ status: 2 });
    expect((await readdir(folder)).sort()).toEqual(["a.jsonl", "a.txt"]);
  });
});
