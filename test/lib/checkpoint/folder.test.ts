import { copyFile, cp, mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { loadModel, loadTokenizer, readConfig, readStopTokens, saveModel } from "../../../lib/checkpoint/folder.ts";
import { openFolder } from "../../../lib/checkpoint/node.ts";
import { CheckpointError, ConfigError } from "../../../lib/errors.ts";
import { MoeModel } from "../../../lib/model.ts";
import { randomModel, randomParams, TINY } from "../../helpers.ts";
import { bitsOf } from "./files.ts";

const GOLDEN = join(import.meta.dirname, "../../golden/dbrx");

let dir: string;
beforeAll(async () => {
  await useBackend();
});
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "moescope-"));
});
afterEach(async () => {
  await rm(dir, { recursive: true });
});

function bits(model: MoeModel): Map<string, number[]> {
  return new Map([...model.params].map(([name, value]) => [name, bitsOf(value.dataSync<"float32">())]));
}

function asFloat(word: number): number {
  return new Float32Array(Uint32Array.of(word).buffer)[0]!;
}

/** Of the two bfloat16 numbers around a float32, the nearer; of equally near ones, that with an even last bit. */
function nearestBfloat16(value: number): number {
  const word = new Uint32Array(Float32Array.of(value).buffer);
  const [low, high] = [(word[0]! & 0xffff0000) >>> 0, ((word[0]! & 0xffff0000) + 0x10000) >>> 0];
  const [below, above] = [Math.abs(value - asFloat(low)), Math.abs(asFloat(high) - value)];
  const isEven = ((low >>> 16) & 1) === 0;
  return asFloat(below < above || (below === above && isEven) ? low : high);
}

describe("saveModel and loadModel", () => {
  test("keep float32 bit for bit, and the configuration", async () => {
    const model = randomModel(TINY, 7);
    await saveModel(dir, model, "F32");
    const again = await loadModel(dir);
    expect(again.config).toEqual(TINY);
    expect(bits(again)).toEqual(bits(model));
    for (const m of [model, again]) m.dispose();
  });

  test("round to the nearest bfloat16, in half the bytes", async () => {
    const params = randomParams(TINY, 7);
    // 1 + 2^-8 lies halfway between 1 and 1 + 2^-7, 1 + 3 · 2^-8 between 1 + 2^-7 and 1 + 2^-6: ties go to the even one.
    params.get("ln_final.w")!.dispose();
    params.set("ln_final.w", tf.tensor1d([1 + 2 ** -8, 1 + 3 * 2 ** -8, 1e-39, -0, ...Array(12).fill(1.1)]));
    const model = new MoeModel(TINY, params);
    await saveModel(dir, model);
    const again = await loadModel(dir);
    for (const [name, value] of model.params) {
      const rounded = Float32Array.from(value.dataSync(), nearestBfloat16);
      expect(bitsOf(again.params.get(name)!.dataSync<"float32">()), name).toEqual(bitsOf(rounded));
    }
    const checkpoint = await openFolder(dir);
    expect(checkpoint.info.dtypes).toEqual({ BF16: 19 });
    await checkpoint.close();
    for (const m of [model, again]) m.dispose();
  });

  test("leave nothing beside the two files, and may write over what they read", async () => {
    const model = randomModel(TINY, 7);
    await saveModel(dir, model);
    const first = await readFile(join(dir, "model.safetensors"));
    const again = await loadModel(dir);
    await saveModel(dir, again);
    expect(await readdir(dir)).toEqual(["config.json", "model.safetensors"]);
    expect(await readFile(join(dir, "model.safetensors"))).toEqual(first);
    for (const m of [model, again]) m.dispose();
  });

  test("make the folder, whatever its name", async () => {
    const folder = join(dir, "ein Modell", "専門家 😀");
    const model = randomModel(TINY, 7);
    await saveModel(folder, model);
    (await loadModel(folder)).dispose();
    model.dispose();
  });

  test("give the same model from shards as from one file", async () => {
    const sharded = await loadModel(join(GOLDEN, "pnone"));
    await saveModel(dir, sharded, "F32");
    expect((await readdir(join(GOLDEN, "pnone"))).filter((name) => name.endsWith(".safetensors"))).toHaveLength(4);
    expect(await readdir(dir)).toContain("model.safetensors");
    const single = await loadModel(dir);
    expect(single.config).toEqual(sharded.config);
    expect(bits(single)).toEqual(bits(sharded));
    for (const m of [single, sharded]) m.dispose();
  });

  test("keep the backend that was chosen", async () => {
    await useBackend("wasm");
    const model = await loadModel(join(GOLDEN, "p1"));
    expect(tf.getBackend()).toBe("wasm");
    model.dispose();
    await useBackend("tensorflow");
  });

  test.each<[string, object, string]>([
    [
      "normEps",
      { normEps: 1e-6 },
      "config: normEps must be 0.00001, all that a dbrx's config.json can say, got 0.000001",
    ],
    ["dHead", { dHead: 6 }, "config: dHead must be 4, all that a dbrx's config.json can say, got 6"],
    [
      "a Gemma whose embeddings are not scaled",
      {
        family: "gemma",
        norm: "rmsNorm",
        clipQkv: null,
        tiedEmbeddings: true,
        mlp: { kind: "dense", dFf: 9, activation: "geluTanh" },
      },
      "config: embeddingScale must be 4, all that a gemma's config.json can say, got 1",
    ],
    [
      "a LLaMA without a gate",
      {
        family: "llama",
        norm: "rmsNorm",
        clipQkv: null,
        mlp: { kind: "dense", dFf: 9, activation: "silu", ungated: true },
      },
      'config: mlp must be {"kind":"dense","dFf":9,"activation":"silu"}, all that a llama\'s config.json can say, got {"kind":"dense","dFf":9,"activation":"silu","ungated":true}',
    ],
    [
      "a DBRX with learned positions",
      { learnedPositions: true },
      "config: learnedPositions must be undefined, all that a dbrx's config.json can say, got true",
    ],
  ])("refuse a configuration that would not read back: %s", async (_, change, message) => {
    const model = randomModel({ ...TINY, ...change });
    await expect(saveModel(dir, model)).rejects.toThrow(new ConfigError(message));
    expect(await readdir(dir)).toEqual([]);
    model.dispose();
  });

  test("say in one line where a folder cannot be made, and a file not be written", async () => {
    const model = randomModel();
    await writeFile(join(dir, "file"), "");
    await expect(saveModel(join(dir, "file", "x"), model)).rejects.toThrow(
      /^.*file\/x: must be a writable folder, got ENOTDIR: not a directory, mkdir '.*'$/,
    );
    await mkdir(join(dir, "model.safetensors"));
    await expect(saveModel(dir, model)).rejects.toThrow(
      /model\.safetensors: must be writable, got something else than a file$/,
    );
    expect(await readdir(dir)).toEqual(["file", "model.safetensors"]);
    model.dispose();
  });
});

/** The path of a file in the test's folder. */
function file(name: string): string {
  return join(dir, name);
}

/** What loading says of a copy of a model after a change. */
async function refusal(change: () => Promise<unknown>): Promise<string> {
  await cp(join(GOLDEN, "p1"), dir, { recursive: true });
  await change();
  const before = tf.memory().numTensors;
  const error = await loadModel(dir).catch((cause: unknown) => cause);
  expect(error).toSatisfy((e) => e instanceof CheckpointError || e instanceof ConfigError);
  expect(tf.memory().numTensors).toBe(before);
  return (error as Error).message.replaceAll(dir, "DIR");
}

describe("a folder that is not a model", () => {
  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      "has no config.json",
      () => rm(file("config.json")),
      /^DIR\/config\.json: must be a readable file, got ENOENT: no such file or directory, open 'DIR\/config\.json'$/,
    ],
    [
      "has a config.json that is no JSON",
      () => writeFile(file("config.json"), "{'d_model': 5}"),
      /^DIR\/config\.json: must be JSON, got .+$/,
    ],
    [
      "has a config.json of another model",
      () => writeFile(file("config.json"), '{"model_type":"bert"}'),
      /^config\.json: model_type must be one of .*, got "bert"$/,
    ],
    [
      "has a config.json of another size",
      async () => {
        const json = JSON.parse(await readFile(file("config.json"), "utf8")) as Record<string, unknown>;
        await writeFile(file("config.json"), JSON.stringify({ ...json, vocab_size: 38 }));
      },
      /^DIR: tensor "transformer\.wte\.weight" must have shape \[38, 24\], got \[37, 24\]$/,
    ],
    [
      "has no weights",
      () => rm(file("model.safetensors")),
      /^DIR: folder must hold model\.safetensors or model\.safetensors\.index\.json, got "config\.json"$/,
    ],
    [
      "has a file cut short",
      () => truncate(file("model.safetensors"), 20_000),
      /^DIR\/model\.safetensors: .*, got .*$/,
    ],
    [
      "has a file cut inside its header",
      () => truncate(file("model.safetensors"), 100),
      /^DIR\/model\.safetensors: .*, got .*$/,
    ],
    ["has an empty file", () => truncate(file("model.safetensors"), 0), /^DIR\/model\.safetensors: .*, got .*$/],
  ])("gets one line when it %s", async (_, change, message) => {
    const found = await refusal(change);
    expect(found).toMatch(message);
    expect(found).not.toContain("\n");
  });

  test("that lacks a shard gets one line that names it", async () => {
    await cp(join(GOLDEN, "pnone"), dir, { recursive: true });
    await rm(file("model-00002-of-00004.safetensors"));
    await expect(loadModel(dir)).rejects.toThrow(
      /model-00002-of-00004\.safetensors: must be a readable file, got ENOENT/,
    );
  });
});

describe("readConfig", () => {
  test("needs nothing but config.json", async () => {
    await copyFile(join(GOLDEN, "published-config.json"), join(dir, "config.json"));
    expect((await readConfig(dir)).nLayers).toBe(40);
  });
});

describe("loadTokenizer", () => {
  test("takes cl100k for a folder of DBRX's size without tokenizer.json, and else reads that", async () => {
    await copyFile(join(GOLDEN, "published-config.json"), join(dir, "config.json"));
    const cl100k = await loadTokenizer(dir);
    expect(cl100k.encode("hello world")).toEqual([15339, 1917]);
    await writeFile(join(dir, "tokenizer.json"), "[]");
    await expect(loadTokenizer(dir)).rejects.toThrow(
      new CheckpointError("tokenizer.json: content must be an object, got []"),
    );
  });

  test.each(["dbrx/p1", "families/mt5"])("says of %s that ids serve where there is neither", async (name) => {
    await cp(join(GOLDEN, "..", name), dir, { recursive: true });
    await expect(loadTokenizer(dir)).rejects.toThrow(
      new CheckpointError(`${dir}: must hold tokenizer.json, got none (give token ids instead of text)`),
    );
  });
});

describe("readStopTokens", () => {
  const write = (name: string, json: object) => writeFile(join(dir, name), JSON.stringify(json));

  test("takes what is said for generating, one token or several, and else what the model's configuration says", async () => {
    expect(await readStopTokens(dir)).toEqual([]);
    await write("config.json", { eos_token_id: 2 });
    expect(await readStopTokens(dir)).toEqual([2]);
    await write("generation_config.json", { eos_token_id: null });
    expect(await readStopTokens(dir)).toEqual([2]);
    await write("generation_config.json", { eos_token_id: [200002, 199999, 200012] });
    expect(await readStopTokens(dir)).toEqual([200002, 199999, 200012]);
  });

  test.each([["</s>"], [[1, 2.5]]])("refuses %j", async (found) => {
    await write("config.json", { eos_token_id: found });
    await expect(readStopTokens(dir)).rejects.toThrow(
      `config.json: eos_token_id must be a token id or a list of them, got ${JSON.stringify(found)}`,
    );
  });
});
