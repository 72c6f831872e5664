import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import type { Checkpoint } from "../../../lib/checkpoint/checkpoint.ts";
import { loadModel, loadTokenizer } from "../../../lib/checkpoint/folder.ts";
import { openFolder } from "../../../lib/checkpoint/node.ts";
import type { HookName } from "../../../lib/hooks.ts";
import type { MoeModel } from "../../../lib/model.ts";
import type { Tokenizer } from "../../../lib/tokenizer/tokenizer.ts";
import { relativeError } from "../../helpers.ts";
import { GOLDEN, moescope, TEXTS, withoutNoise, writeTinyModel } from "./child.ts";

describe("moescope capture", () => {
  let dir: string;
  let folder: string;
  let model: MoeModel;
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    await useBackend("wasm");
    dir = await mkdtemp(join(tmpdir(), "moescope-"));
    folder = join(dir, "ein Modell 😀");
    await writeTinyModel(folder);
    model = await loadModel(folder);
    tokenizer = await loadTokenizer(folder);
    return async () => {
      model.dispose();
      await rm(dir, { recursive: true });
    };
  });

  /** What the file holds is what a run of these tokens gives, within `tolerance`; hooks are those that are in the file. */
  async function expectRun(file: Checkpoint, tokens: number[][], tolerance: number): Promise<void> {
    const hooks = [...file.tensors.keys()].filter((name) => name !== "tokens" && name !== "logits") as HookName[];
    const { logits, cache } = model.runWithCache(tokens, { names: hooks });
    for (const name of ["logits", ...hooks]) {
      const expected = name === "logits" ? logits : cache.get(name as HookName);
      expect(file.tensor(name).shape, name).toEqual(expected.shape);
      const isWhole = expected.dtype === "int32";
      expect(file.tensor(name).dtype, name).toBe(isWhole ? "I32" : "F32");
      const found = isWhole ? await file.readInt32(name) : await file.readFloat32(name);
      expect(relativeError(found, expected.dataSync()), name).toBeLessThanOrEqual(isWhole ? 0 : tolerance);
    }
    expect(file.tensor("tokens").shape).toEqual([tokens.length, tokens[0]!.length]);
    expect([...(await file.readInt32("tokens"))]).toEqual(tokens.flat());
    logits.dispose();
    cache.dispose();
  }

  test("writes the hooks asked for, by glob, each under its name, and the logits", async () => {
    const out = join(dir, "ids.safetensors");
    const args = [
      "capture",
      folder,
      "--ids",
      "5, 17,3;1,1,90",
      "--hooks",
      "blocks.*.mlp.hook_router_*,blocks.1.attn.hook_pattern",
    ];
    const ended = await moescope([...args, "--out", out], { backend: "wasm" });
    expect(ended).toEqual({ code: 0, out: `7 tensors of 2 x 3 tokens written to ${out}\n`, err: "" });
    const file = await openFolder(out);
    expect([...file.tensors.keys()].sort()).toEqual([
      "blocks.0.mlp.hook_router_logits",
      "blocks.0.mlp.hook_router_probs",
      "blocks.1.attn.hook_pattern",
      "blocks.1.mlp.hook_router_logits",
      "blocks.1.mlp.hook_router_probs",
      "logits",
      "tokens",
    ]);
    expect(file.metadata).toEqual({ model: folder });
    await expectRun(
      file,
      [
        [5, 17, 3],
        [1, 1, 90],
      ],
      0,
    );
    await file.close();
  });

  test("writes every hook where none is named, an idle expert's of no rows too, on tensorflow as on wasm", async () => {
    const out = join(dir, "all.safetensors");
    const ended = await moescope(["capture", folder, "--ids", "5", "--out", out], { backend: "tensorflow" });
    expect([ended.code, withoutNoise(ended.err)]).toEqual([0, ""]);
    const file = await openFolder(out);
    expect([...file.tensors.keys()].sort()).toEqual([...model.hookNames, "tokens"].sort());
    // One token and 2 of 5 experts: 3 are idle.
    const rows = [0, 1, 2, 3, 4].map((e) => file.tensor(`blocks.0.mlp.experts.${e}.hook_post`).shape[0]);
    expect(rows.filter((n) => n === 0)).toHaveLength(3);
    await expectRun(file, [[5]], 1e-5);
    await file.close();
  });

  test("encodes a text, given or in a file, as the model's tokenizer does", async () => {
    const text = TEXTS[1]!;
    await writeFile(join(dir, "text.txt"), text);
    const files = [join(dir, "a.safetensors"), join(dir, "b.safetensors")] as const;
    const common = ["capture", folder, "--hooks", "hook_embed", "--out"];
    const ended = await Promise.all([
      moescope([...common, files[0], "--text", text], { backend: "wasm" }),
      moescope([...common, files[1], "--file", join(dir, "text.txt")], { backend: "wasm" }),
    ]);
    expect(ended.map(({ code, err }) => [code, err])).toEqual([
      [0, ""],
      [0, ""],
    ]);
    const [a, b] = await Promise.all(files.map((path) => readFile(path)));
    expect(a).toEqual(b);
    const file = await openFolder(files[0]);
    await expectRun(file, [tokenizer.encode(text)], 0);
    await file.close();
  });

  test("writes over a former file, and through no folder, link or device", async () => {
    const at = (name: string): string => join(dir, "out", name);
    await mkdir(at("folder.safetensors"), { recursive: true });
    await writeFile(at("former.safetensors"), "former");
    await symlink("/dev/full", at("device.safetensors"));
    const write = (name: string): ReturnType<typeof moescope> =>
      moescope(["capture", folder, "--ids", "1", "--hooks", "logits", "--out", at(name)], { backend: "wasm" });
    const [former, onFolder, device] = await Promise.all(
      ["former", "folder", "device"].map((name) => write(`${name}.safetensors`)),
    );
    expect(former).toMatchObject({ code: 0, err: "" });
    for (const [ended, name] of [
      [onFolder, "folder"],
      [device, "device"],
    ] as const)
      expect(ended).toEqual({
        code: 1,
        out: "",
        err: `${at(name)}.safetensors: must be writable, got something else than a file\n`,
      });
    expect((await readdir(join(dir, "out"))).sort()).toEqual([
      "device.safetensors",
      "folder.safetensors",
      "former.safetensors",
    ]);
  });

  test("on a full disk says so in one line and leaves the former file as it was", async () => {
    const out = join(dir, "full.safetensors");
    await writeFile(out, "former");
    const args = ["capture", folder, "--ids", Array(40).fill(7).join(), "--out", out];
    const { code, err } = await moescope(args, { backend: "wasm", mostBlocks: 20 });
    expect(code).toBe(1);
    expect(err).toMatch(/^.*full\.safetensors: must be writable, got EFBIG: file too large, write\n$/);
    expect(await readFile(out, "utf8")).toBe("former");
    expect((await readdir(dir)).filter((name) => name.startsWith("."))).toEqual([]);
  });

  test("streams a model that is larger than the memory it may take, and says what memory it would need", async () => {
    const capture = (name: string, ...more: string[]) => {
      const args = ["capture", join(GOLDEN, "p1"), "--ids", "1,5,3;2,9,4", "--out", join(dir, name), ...more];
      return moescope(args, { backend: "wasm" });
    };
    const [tooLittle, none, whole] = await Promise.all([
      capture("none", "--memory", "1e-6"),
      capture("none", "--memory", "0"),
      capture("whole"),
    ]);
    expect(none.err).toContain("moescope: --memory must be above 0, got 0");
    expect(tooLittle).toMatchObject({ code: 1, out: "" });
    const [, least] = /^loadModel: memoryBudget must be at least (\d+) bytes for this model, got 1000\n$/.exec(
      tooLittle.err,
    )!;
    const streamed = await capture("streamed", "--memory", String(Number(least) / 1e9));
    for (const { code, err } of [whole, streamed]) expect([code, err]).toEqual([0, ""]);
    expect(await readFile(join(dir, "streamed"))).toEqual(await readFile(join(dir, "whole")));
  });
});
