import { copyFile, cp, mkdir, mkdtemp, readdir, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { GOLDEN, moescope, writeTinyModel } from "./child.ts";

// DIR stands for a folder that holds "model" (with a tokenizer), "bare" (without), "few" (with fewer tokens than its tokenizer),
// "dbrx" (a config.json alone), "mt5" (an encoder-decoder), "cut" (weights cut short) and "text.txt".
let dir: string;
beforeAll(async () => {
  await useBackend();
  dir = await mkdtemp(join(tmpdir(), "moescope-"));
  const at = (...parts: string[]): string => join(dir, ...parts);
  await writeTinyModel(at("model"));
  await writeTinyModel(at("few"), { dVocab: 260 });
  await writeTinyModel(at("bare"));
  await rm(at("bare", "tokenizer.json"));
  await mkdir(at("dbrx"));
  await copyFile(join(GOLDEN, "published-config.json"), at("dbrx", "config.json"));
  await cp(join(GOLDEN, "../families/mt5"), at("mt5"), { recursive: true });
  await writeTinyModel(at("cut"));
  await truncate(at("cut", "model.safetensors"), 20_000);
  await writeFile(at("text.txt"), "the router");
  return () => rm(dir, { recursive: true });
});

function capture(...args: string[]): string[] {
  return ["capture", ...args, "--out", "out.safetensors"];
}

const COMMANDS = ["info", "capture", "generate", "train", "trace", "import", "metrics"];
const WHICH = `moescope: the command must be one of ${COMMANDS.join(", ")}`;

const ENCODER_DECODER =
  'config.json: model_type must be a decoder\'s here, got "mt5", an encoder-decoder: open it with loadEncoderDecoder';

describe("help", () => {
  test.concurrent("--help lists every command", async () => {
    const { code, out, err } = await moescope(["--help"]);
    expect([code, err]).toEqual([0, ""]);
    for (const command of COMMANDS) expect(out).toMatch(new RegExp(`^  moescope ${command} .+\n      \\S.+`, "m"));
  });

  test.concurrent.each(COMMANDS)(
    "%s --help says its usage and every option, whatever else is given",
    async (command) => {
      const { code, out, err } = await moescope([command, "x", "--wrong", "--help"]);
      expect([code, err]).toEqual([0, ""]);
      expect(out).toMatch(new RegExp(`^moescope ${command} .+\n\n\\S.+\n\n`));
      const [usage, details] = [out.split("\n")[0]!, out.split("\n").slice(4).join("\n")];
      for (const option of usage.match(/-+[a-z]+/g) ?? []) expect(details).toContain(option);
    },
  );
});

describe("wrong usage is exit code 2 and one line that ends in the usage", () => {
  test.concurrent.each<[string[], string]>([
    [[], `${WHICH}, got nothing (moescope --help says more)`],
    [["ifno"], `${WHICH}, got ifno (moescope --help says more)`],
    [["toString"], `${WHICH}, got toString (moescope --help says more)`],
    [["info"], "moescope: must be given MODEL, got nothing (usage: moescope info"],
    [["info", "a", "b"], "moescope: must be given MODEL, got a, b (usage: moescope info"],
    [["info", "a", "--jsn"], "moescope: Unknown option '--jsn'"],
    [["info", "a", "--json=yes"], "moescope: Option '--json' does not take an argument (usage: moescope info"],
    [
      ["capture", "model", "--out", "x"],
      "moescope: must be given one of --ids, --text and --file (usage: moescope capture",
    ],
    [["capture", "model", "--ids", "1"], "moescope: must be given --out FILE.safetensors (usage"],
    [
      ["capture", "model", "--ids", "1,,2", "--out", "x"],
      'moescope: --ids must be like "5,17,3;1,1,90", got 1,,2 (usage',
    ],
    [["capture", "model", "--ids", "1;", "--out", "x"], 'moescope: --ids must be like "5,17,3;1,1,90", got 1;'],
    [["capture", "model", "--out"], "moescope: Option '--out <value>' argument missing (usage"],
    [["generate", "model"], "moescope: must be given --text T (usage: moescope generate"],
    [["generate", "model", "--text", "a", "-n", "many"], "moescope: -n must be a whole number, got many"],
    [["generate", "model", "--text", "a", "--seed", "-1"], "moescope: Option '--seed' argument is ambiguous."],
    [["generate", "model", "--text", "a", "--temperature", "hot"], "moescope: --temperature must be a number, got hot"],
    [["generate", "model", "--text", "a", "--top-k", ""], "moescope: --top-k must be a whole number, got "],
    [["train"], "moescope: must be given RUN.json, got nothing (usage: moescope train"],
  ])("%j", async (args, message) => {
    const { code, out, err } = await moescope(args, { cwd: dir });
    expect([code, out]).toEqual([2, ""]);
    expect(err).toMatch(/^[^\n]+\n$/);
    expect(err.slice(0, message.length)).toBe(message);
    expect(err).toMatch(/\((usage: moescope \w+ .+|moescope --help says more)\)\n$/);
  });
});

describe("an error is exit code 1 and one line, said before the backend loads", () => {
  test.concurrent.each<[string[], string | RegExp]>([
    [
      ["info", "none"],
      "none/config.json: must be a readable file, got ENOENT: no such file or directory, open 'none/config.json'",
    ],
    [["info", "text.txt"], /^text\.txt\/config\.json: must be a readable file, got ENOTDIR: /],
    [["info", "cut"], /^cut\/model\.safetensors: .+, got .+/],
    [capture("cut", "--ids", "1,2"), /^cut\/model\.safetensors: .+, got .+/],
    [
      capture("dbrx", "--ids", "1,2"),
      'dbrx: folder must hold model.safetensors or model.safetensors.index.json, got "config.json"',
    ],
    [capture("model", "--ids", "1,300"), "run: a token id must be a whole number from 0 to 299, got 300"],
    [
      capture("model", "--ids", "1,99999999999999999999"),
      "run: a token id must be a whole number from 0 to 299, got 100000000000000000000",
    ],
    [capture("model", "--ids", "1,2;3"), "run: sequences must have the same length (2, the first one's), got 1"],
    [
      capture("model", "--ids", Array(65).fill(1).join()),
      "run: a sequence must be at most 64 tokens long (nCtx), got 65",
    ],
    [capture("few", "--text", "the router"), /^run: a token id must be a whole number from 0 to 259, got 2\d\d$/],
    [capture("model", "--text", ""), "run: tokens must hold at least one id, got none"],
    [
      capture("model", "--text", "zzz ".repeat(50)),
      /^run: a sequence must be at most 64 tokens long \(nCtx\), got \d+$/,
    ],
    [capture("bare", "--text", "a"), "bare: must hold tokenizer.json, got none (give token ids instead of text)"],
    [capture("model", "--file", "none.txt"), /^none\.txt: must be a readable file, got ENOENT: /],
    [capture("model", "--file", "model"), /^model: must be a readable file, got EISDIR: /],
    [
      capture("model", "--ids", "1", "--hooks", "logits, blocks.*.hook_gate"),
      /^hooks: no hook is called "blocks\.\*\.hook_gate"; the nearest are blocks\S+, blocks\S+, blocks\S+$/,
    ],
    [
      ["capture", "model", "--ids", "1", "--out", "none/x.safetensors"],
      /^none\/x\.safetensors: must be writable, got ENOENT: /,
    ],
    [
      ["capture", "model", "--ids", "1", "--out", "text.txt/x.safetensors"],
      /^text\.txt\/x\.safetensors: must be writable, got ENOTDIR: /,
    ],
    [capture("mt5", "--ids", "1,2"), ENCODER_DECODER],
    [["generate", "mt5", "--text", "a"], ENCODER_DECODER],
    [["trace", "mt5", "text.txt", "--out", "traced"], ENCODER_DECODER],
    [["generate", "model", "--text", ""], "run: tokens must hold at least one id, got none"],
    [["generate", "model", "--text", "a", "--temperature=-1"], "generate: temperature must be a number from 0, got -1"],
    [["generate", "model", "--text", "a", "--top-p", "1.5"], "generate: topP must be above 0 and at most 1, got 1.5"],
  ])("%j", async (args, message) => {
    const { code, out, err } = await moescope(args, { cwd: dir });
    expect(err).toMatch(/^[^\n]+\n$/);
    if (typeof message === "string") expect(err).toBe(`${message}\n`);
    else expect(err.trimEnd()).toMatch(message);
    expect([code, out]).toEqual([1, ""]);
  });

  test("a backend that nobody has heard of is one line too", async () => {
    const args = capture("model", "--ids", "1");
    expect(await moescope(args, { cwd: dir, backend: "gpu" })).toEqual({
      code: 1,
      out: "",
      err: 'MOESCOPE_BACKEND: the backend must be one of tensorflow, wasm, cpu, got "gpu"\n',
    });
  });

  test("and nothing is left of what was not written", async () => {
    expect((await readdir(dir)).sort()).toEqual(["bare", "cut", "dbrx", "few", "model", "mt5", "text.txt"]);
  });
});
