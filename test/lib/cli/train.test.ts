import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { loadModel } from "../../../lib/checkpoint/folder.ts";
import { openFolder } from "../../../lib/checkpoint/node.ts";
import { dbrx } from "../../../lib/families/dbrx.ts";
import { fromTokenizerJson } from "../../../lib/tokenizer/huggingFace.ts";
import { trainBpe } from "../../../lib/train/bpe.ts";
import { textLoss } from "../../../lib/train/evaluate.ts";
import { seeded, TINY, TINY_DENSE } from "../../helpers.ts";
import { type ChildOptions, type Ended, moescope, TEXTS, withoutNoise } from "./child.ts";

const STEPS = 60;
const TOKENIZER = trainBpe(TEXTS, { vocabSize: 300 });
const RUN = {
  data: "corpus",
  out: "model",
  state: "run/state.safetensors",
  model: dbrx.toJson({ ...TINY, dVocab: 300 }),
  batch: 2,
  pos: 12,
  steps: STEPS,
  rate: 0.01,
  warmupSteps: 4,
  checkpointEvery: 3,
};

const line = (text: string): string => `${JSON.stringify({ text })}\n`;

/** A folder to train in: RUN.json with these changes, and a corpus of two kinds. */
async function runFolder(change: object = {}): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "moescope-"));
  for (const part of ["train", "heldout"]) {
    await mkdir(join(dir, "corpus", part), { recursive: true });
    const repeats = part === "train" ? 4 : 1;
    await writeFile(join(dir, "corpus", part, "prose.jsonl"), line(TEXTS[0]!).repeat(repeats));
    await writeFile(join(dir, "corpus", part, "german.jsonl"), line(TEXTS[1]!).repeat(repeats));
  }
  await writeFile(join(dir, "corpus", "tokenizer.json"), JSON.stringify(TOKENIZER));
  await writeFile(join(dir, "RUN.json"), JSON.stringify({ ...RUN, ...change }));
  return dir;
}

const train = (dir: string, options: ChildOptions = {}): Promise<Ended> =>
  moescope(["train", "RUN.json"], { cwd: dir, ...options });

/** The last line on standard error. */
const lastLine = (err: string): string => err.trimEnd().split("\n").at(-1)!;

/** Every file of a folder and its folders, sorted. */
async function filesOf(dir: string): Promise<string[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
    .sort();
}

async function curveOf(dir: string): Promise<{ step: number; crossEntropy: number }[]> {
  const text = await readFile(join(dir, "run/state.safetensors.curve.jsonl"), "utf8");
  return text
    .trimEnd()
    .split("\n")
    .map((point) => JSON.parse(point) as { step: number; crossEntropy: number });
}

/** Runs until the state has been written `times` times from now, and then some milliseconds more. */
async function killedAfter(dir: string, times: number, milliseconds: number): Promise<Ended> {
  let kill = (): void => {};
  const ended = train(dir, {
    onStart: (end) => {
      kill = end;
    },
  });
  const path = join(dir, "run/state.safetensors.curve.jsonl");
  const size = async (): Promise<number> => (await readFile(path).catch(() => "")).length;
  let last = -1;
  let grown = -1; // the first look is no growth, and a resumed run may cut the curve
  for (;;) {
    const now = await size();
    if (now > last) grown++;
    last = now;
    if (grown >= times) break;
    if ((await Promise.race([ended, setTimeout(2)])) !== undefined) break;
  }
  await setTimeout(milliseconds);
  kill();
  return ended;
}

const put = (dir: string, name: string, text: string): Promise<void> => writeFile(join(dir, name), text);
const drop = (dir: string, name: string): Promise<void> => rm(join(dir, name), { recursive: true });
const change = (dir: string, fields: object): Promise<void> =>
  put(dir, "RUN.json", JSON.stringify({ ...RUN, ...fields }));

describe("moescope train", () => {
  let unbroken: string;
  let ended: Ended;
  beforeAll(async () => {
    await useBackend();
    unbroken = await runFolder();
    ended = await train(unbroken);
    return () => rm(unbroken, { recursive: true });
  });

  test("writes a model folder that loads, its losses on held-out text by kind, and a curve of every step", async () => {
    expect([ended.code, ended.out]).toEqual([0, ""]);
    const lines = withoutNoise(ended.err).trimEnd().split("\n");
    expect(lines[0]).toMatch(/^german, prose: \d+ tokens; on (tensorflow|wasm)$/);
    expect(lines.slice(-3)).toEqual([
      expect.stringMatching(/^german {7}\d\.\d{3} nats a token, \d\.\d{3} bits a byte$/),
      expect.stringMatching(/^prose {8}\d\.\d{3} nats a token, \d\.\d{3} bits a byte$/),
      "written to model",
    ]);
    const curve = await curveOf(unbroken);
    expect(curve.map(({ step }) => step)).toEqual(Array.from({ length: STEPS }, (_, i) => i + 1));
    expect(curve.at(-1)!.crossEntropy).toBeLessThan(curve[0]!.crossEntropy / 2);

    const model = await loadModel(join(unbroken, "model"));
    const tokenizer = fromTokenizerJson(TOKENIZER);
    const heldOut = JSON.parse(await readFile(join(unbroken, "model/heldout.json"), "utf8"));
    for (const [i, kind] of ["german", "prose"].entries()) {
      const text = TEXTS[1 - i]!;
      const { natsPerToken, nTokens } = textLoss(model, [...tokenizer.encode(text), 0], { pos: 12, stride: 3 });
      const bytes = new TextEncoder().encode(text).length;
      expect(heldOut[i]).toMatchObject({ kind, bytes, nTokens });
      // The file was rounded to bfloat16 after its loss was taken.
      expect(heldOut[i].natsPerToken).toBeCloseTo(natsPerToken, 1);
      expect(heldOut[i].bitsPerByte).toBeCloseTo((heldOut[i].natsPerToken * nTokens) / Math.LN2 / bytes, 9);
    }
    model.dispose();
  });

  test("trains a dense model, whose curve has neither balance nor loads, to a folder of one expert", async () => {
    const dir = await runFolder({ model: dbrx.toJson({ ...TINY_DENSE, dVocab: 300 }), steps: 20 });
    const { code, err } = await train(dir);
    expect(code).toBe(0);
    expect(withoutNoise(err)).not.toMatch(/balance|MaxVio/);
    const curve = await curveOf(dir);
    expect(Object.keys(curve[0]!)).toEqual(["step", "crossEntropy", "gradientNorm"]);
    expect(curve.at(-1)!.crossEntropy).toBeLessThan(curve[0]!.crossEntropy);
    const model = await loadModel(join(dir, "model"));
    expect(model.config).toEqual({ ...TINY_DENSE, dVocab: 300 });
    model.dispose();
    const file = await openFolder(join(dir, "model"));
    const router = "transformer.blocks.1.ffn.router.layer.weight";
    expect(file.tensor(router).shape).toEqual([1, TINY.dModel]);
    expect([...(await file.readFloat32(router))]).toEqual(Array(TINY.dModel).fill(0));
    await file.close();
    await rm(dir, { recursive: true });
  });

  test("killed again and again at any moment, it ends with the same bytes and the same curve, and leaves nothing else", async () => {
    const dir = await runFolder();
    const random = seeded(17);
    const codes: (number | null)[] = [];
    for (let i = 0; i < 5; i++) codes.push((await killedAfter(dir, 1 + (i % 2), 40 * random())).code);
    // On a machine that stalls, a run may be done before it is killed.
    expect(codes.filter((code) => code === null).length).toBeGreaterThanOrEqual(3);
    // What a kill in the middle of a write leaves: half a state, half a model, half a line of the curve.
    await writeFile(join(dir, "run/.state.safetensors.0123.tmp"), "half");
    await mkdir(join(dir, "model"), { recursive: true });
    await writeFile(join(dir, "model/.model.safetensors.4567.tmp"), "half");
    const curve = await readFile(join(dir, "run/state.safetensors.curve.jsonl"), "utf8");
    await writeFile(join(dir, "run/state.safetensors.curve.jsonl"), `${curve}{"step":`);

    const last = await train(dir);
    expect([last.code, last.out]).toEqual([0, ""]);
    expect(withoutNoise(last.err)).toMatch(new RegExp(`^going on from step \\d+ of ${STEPS}$`, "m"));
    for (const name of ["model/model.safetensors", "model/heldout.json", "run/state.safetensors"])
      expect((await readFile(join(dir, name))).equals(await readFile(join(unbroken, name))), name).toBe(true);
    expect(await curveOf(dir)).toEqual(await curveOf(unbroken));
    expect(await filesOf(dir)).toEqual(await filesOf(unbroken));
    expect((await filesOf(dir)).filter((name) => name.includes("tmp"))).toEqual([]);
    await rm(dir, { recursive: true });
  });

  test("when it is done, run again, it writes the same model and trains no more", async () => {
    const dir = await runFolder();
    await cp(unbroken, dir, { recursive: true });
    await rm(join(dir, "model"), { recursive: true });
    const again = await train(dir);
    expect(again.code).toBe(0);
    expect(withoutNoise(again.err)).toContain(`\ngoing on from step ${STEPS} of ${STEPS}\n`);
    const name = "model/model.safetensors";
    expect((await readFile(join(dir, name))).equals(await readFile(join(unbroken, name)))).toBe(true);
    expect(await curveOf(dir)).toEqual(await curveOf(unbroken));
    await rm(dir, { recursive: true });
  });

  test("on a full disk stops with one line and keeps the last good state", async () => {
    const dir = await runFolder();
    await killedAfter(dir, 2, 5);
    const path = join(dir, "run/state.safetensors");
    const good = await readFile(path);
    // A state is 3 · 14,256 float32 values, 171 kB; no file may grow beyond 77 kB.
    const full = await train(dir, { mostBlocks: 150 });
    expect(full.code).toBe(1);
    expect(lastLine(full.err)).toBe("run/state.safetensors: must be writable, got EFBIG: file too large, write");
    expect((await readFile(path)).equals(good)).toBe(true);
    expect((await filesOf(dir)).filter((name) => name.includes(".tmp"))).toEqual([]);
    await rm(dir, { recursive: true });
  });

  test("stops where numbers stop being numbers, in one line", async () => {
    const dir = await runFolder({ rate: 1e30, warmupSteps: 0 });
    const { code, err } = await train(dir);
    expect(code).toBe(1);
    expect(lastLine(err)).toMatch(
      /^train: loss and gradients must be finite, and the loss below 17\.1 \(3 times that of a uniform guess\), got a loss of \S+ at step 2, no longer finite first in .+; try /,
    );
    await rm(dir, { recursive: true });
  });

  describe("says in one line what is wrong, before it trains", () => {
    test.concurrent.each<[string, (dir: string) => Promise<unknown>, string | RegExp]>([
      ["a RUN.json of null", (dir) => put(dir, "RUN.json", "null"), "RUN.json: must be an object, got null"],
      ["no out", (dir) => change(dir, { out: undefined }), "RUN.json: out must be a path, got undefined"],
      ["a misspelt field", (dir) => change(dir, { step: 5 }), /^run: fields must be .*, got also step$/],
      [
        "a small vocabulary",
        (dir) => change(dir, { model: dbrx.toJson(TINY) }),
        "corpus/tokenizer.json: vocabulary must be at most 23 tokens, got 300",
      ],
      ["no text", (dir) => drop(dir, "corpus/train"), "corpus/train: must hold KIND.jsonl files, got none"],
      [
        "no held-out text",
        (dir) => drop(dir, "corpus/heldout"),
        "corpus/heldout: must hold KIND.jsonl files, got none",
      ],
      [
        "a line that is no JSON",
        (dir) => put(dir, "corpus/train/prose.jsonl", `${line("a")}{"text":\n`),
        'corpus/train/prose.jsonl: line 2 must be like {"text": "…"}, got "{\\"text\\":"',
      ],
      [
        "a document without text",
        (dir) => put(dir, "corpus/heldout/prose.jsonl", '{"txt":"a"}\n'),
        'corpus/heldout/prose.jsonl: line 1 must be like {"text": "…"}, got "{\\"txt\\":\\"a\\"}"',
      ],
      [
        "an empty file",
        (dir) => put(dir, "corpus/train/prose.jsonl", ""),
        'corpus/train/prose.jsonl: line 1 must be like {"text": "…"}, got ""',
      ],
      [
        "no end of text",
        (dir) => put(dir, "corpus/tokenizer.json", JSON.stringify({ ...TOKENIZER, added_tokens: [] })),
        "tokenizer.json: must have the special token <|endoftext|>, got none",
      ],
    ])("%s", async (_, spoil, message) => {
      const dir = await runFolder();
      await spoil(dir);
      const { code, out, err } = await train(dir);
      expect([code, out]).toEqual([1, ""]);
      expect(err).toMatch(/^[^\n]+\n$/);
      if (typeof message === "string") expect(err).toBe(`${message}\n`);
      else expect(err.trimEnd()).toMatch(message);
      expect(await readdir(dir)).not.toContain("run");
      await rm(dir, { recursive: true });
    });

    test("a state of another run, which is left alone", async () => {
      const dir = await runFolder();
      await cp(join(unbroken, "run"), join(dir, "run"), { recursive: true });
      await change(dir, { rate: 0.5 });
      const { code, err } = await train(dir);
      expect(code).toBe(1);
      expect(lastLine(err)).toBe(
        "run/state.safetensors: must come from the same run, got one with another rate; remove it to begin anew",
      );
      const name = "run/state.safetensors";
      expect((await readFile(join(dir, name))).equals(await readFile(join(unbroken, name)))).toBe(true);
      await rm(dir, { recursive: true });
    });

    test("a state of the same run on another text, which is left alone", async () => {
      const dir = await runFolder();
      await cp(join(unbroken, "run"), join(dir, "run"), { recursive: true });
      await put(dir, "corpus/train/prose.jsonl", line(`${TEXTS[0]!} And more.`).repeat(4));
      const { code, err } = await train(dir);
      expect(code).toBe(1);
      expect(lastLine(err)).toBe(
        "run/state.safetensors: must come from the same text and tokenizer, got others; remove it to begin anew",
      );
      const name = "run/state.safetensors";
      expect((await readFile(join(dir, name))).equals(await readFile(join(unbroken, name)))).toBe(true);
      await rm(dir, { recursive: true });
    });

    test("a state that cannot be where it should", async () => {
      const dir = await runFolder();
      await put(dir, "run", "a file");
      const { code, err } = await train(dir);
      expect(code).toBe(1);
      expect(lastLine(err)).toMatch(/^run\/state\.safetensors: must be writable, got (EEXIST|ENOTDIR): /);
      await rm(dir, { recursive: true });
    });
  });
});
