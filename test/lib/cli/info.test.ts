import { copyFile, cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { readConfig } from "../../../lib/checkpoint/folder.ts";
import { GOLDEN, moescope } from "./child.ts";

describe("moescope info", () => {
  let dir: string;
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "moescope-"));
    await copyFile(join(GOLDEN, "published-config.json"), join(dir, "config.json"));
    return () => rm(dir, { recursive: true });
  });

  test("says the sizes of DBRX from its config.json alone", async () => {
    const { code, out, err } = await moescope(["info", dir]);
    expect([code, err]).toEqual([0, ""]);
    const lines = Object.fromEntries(
      out
        .trimEnd()
        .split("\n")
        .map((line) => line.split(/ {2,}/)),
    );
    expect(lines).toEqual({
      family: "dbrx",
      layers: "40",
      d_model: "6144",
      heads: "48 query, 8 key-value, of 128",
      vocabulary: "100,352",
      context: "32,768 tokens",
      experts: "16, 4 per token, d_ff 10,752",
      combinations: "1,820 sets of experts per layer",
      parameters: "131,596,523,520",
      "active per token": "36,469,708,800 (27.7 %)",
      "weights on disk": "none in this folder",
      // 131,596,523,520 float32, and the largest parameter, [16, 6144, 10752], once more.
      memory: expect.stringMatching(
        /^531 GB to load it whole, [\d.]+ GB free here: it will not fit; --memory GB lets capture, generate and trace stream it$/,
      ),
    });
  });

  test("says of a dense model that it has no experts, and of a mixed one which layers are dense", async () => {
    const one = { ...JSON.parse(await readFile(join(dir, "config.json"), "utf8")), n_layers: 2 };
    one.ffn_config = { ffn_hidden_size: 10752, moe_num_experts: 1, moe_top_k: 1 };
    const dense = join(dir, "one-expert");
    await mkdir(dense);
    await writeFile(join(dense, "config.json"), JSON.stringify(one));
    const { out } = await moescope(["info", dense]);
    expect(out).toMatch(/^experts {14}none: dense, d_ff 10,752\nparameters/m);
    expect(out).toMatch(/^active per token {5}[\d,]+ \(100\.0 %\)$/m);
    const { combinations: sets, parameters } = JSON.parse((await moescope(["info", dense, "--json"])).out);
    // 2 · 100352 · 6144 + 6144, and in each block attention, 3 matrices of 6144 x 10752 and two norms.
    const total = 2 * 100352 * 6144 + 6144 + 2 * (88_080_384 + 3 * 6144 * 10752 + 2 * 6144);
    expect([sets, parameters]).toEqual([null, { total, active: total }]);
    const { out: mixed } = await moescope(["info", join(GOLDEN, "../families/qwen3-mixed")]);
    expect(mixed).toMatch(/^experts {14}6, 2 per token, d_ff 5\ncombinations.*\ndense layers {9}1, d_ff 11$/m);
  });

  test("says them as JSON too", async () => {
    const { code, out, err } = await moescope(["info", "--json", dir]);
    expect([code, err]).toEqual([0, ""]);
    expect(JSON.parse(out)).toEqual({
      config: await readConfig(dir),
      parameters: { total: 131_596_523_520, active: 36_469_708_800 },
      combinations: 1820,
      checkpoint: null,
      memory: { needed: 4 * (131_596_523_520 + 16 * 6144 * 10752), free: expect.any(Number) },
    });
  });

  test("counts tensors, files and bytes of shards without reading them", async () => {
    const folder = join(dir, "sharded");
    await cp(join(GOLDEN, "pnone"), folder, { recursive: true });
    const { out, err } = await moescope(["info", folder, "--json"]);
    expect(err).toBe("");
    const { checkpoint, parameters } = JSON.parse(out);
    // 8 tensors in each of 2 blocks, and 3 outside them.
    expect(checkpoint).toMatchObject({ files: 4, tensors: 19, dtypes: { F32: 19 } });
    expect(checkpoint.bytes).toBeGreaterThan(4 * parameters.total);
    expect(checkpoint.bytes).toBeLessThan(4 * parameters.total + 4000);
    expect((await moescope(["info", folder])).out).toMatch(
      /^weights on disk {6}19 tensors in 4 file\(s\), [\d,]+ bytes$/m,
    );
  });

  test("says the sizes of an encoder-decoder", async () => {
    const { code, out, err } = await moescope(["info", join(GOLDEN, "../families/published/mt5-xxl")]);
    expect([code, err]).toEqual([0, ""]);
    expect(out).toContain("layers               24 encoder, 24 decoder\n");
    expect(out).toContain("parameters           12,921,057,280\n");
  });
});
