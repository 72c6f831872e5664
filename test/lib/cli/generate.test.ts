import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { loadModel, loadTokenizer } from "../../../lib/checkpoint/folder.ts";
import { type GenerateOptions, generate } from "../../../lib/generate.ts";
import { moescope, withoutNoise, writeTinyModel } from "./child.ts";

describe("moescope generate", () => {
  let dir: string;
  beforeAll(async () => {
    await useBackend("wasm");
    dir = await mkdtemp(join(tmpdir(), "moescope-"));
    await writeTinyModel(dir);
    return () => rm(dir, { recursive: true });
  });

  /** What the library makes of the same options, as text: bytes that are no UTF-8 become U+FFFD. */
  async function expected(text: string, options: GenerateOptions): Promise<string> {
    const [model, tokenizer] = [await loadModel(dir), await loadTokenizer(dir)];
    const ids: number[] = [];
    for await (const id of generate(model, tokenizer.encode(text), options)) ids.push(id);
    model.dispose();
    return `${text}${tokenizer.decode(ids)}\n`;
  }

  const run = (text: string, ...args: string[]): ReturnType<typeof moescope> =>
    moescope(["generate", dir, "--text", text, ...args], { backend: "wasm" });

  test("continues the text as the library does with the same seed, and otherwise with another", async () => {
    const text = "Größe 😀";
    const [a, b, c] = await Promise.all([
      run(text, "-n", "12", "--seed", "7"),
      run(text, "-n", "12", "--seed", "7"),
      run(text, "-n", "12", "--seed", "8"),
    ]);
    const options = { maxTokens: 12, temperature: 0.8, topP: 0.95, stopIds: [0] };
    expect(a).toEqual({ code: 0, err: "", out: await expected(text, { ...options, seed: 7 }) });
    expect(b).toEqual(a);
    expect(c).toEqual({ code: 0, err: "", out: await expected(text, { ...options, seed: 8 }) });
    expect(c.out).not.toBe(a.out);
  });

  test("takes the likeliest tokens at temperature 0, whatever the seed, and on tensorflow too", async () => {
    const args = ["--temperature", "0", "-n", "8"];
    const [a, b] = await Promise.all([
      run("the", ...args, "--seed", "1"),
      moescope(["generate", dir, "--text", "the", ...args, "--seed", "2"], { backend: "tensorflow" }),
    ]);
    expect(a.out).toBe(await expected("the", { temperature: 0, maxTokens: 8, stopIds: [0] }));
    expect([b.code, b.out, withoutNoise(b.err)]).toEqual([0, a.out, ""]);
  });

  test("ends where the model's files say that a text ends", async () => {
    const greedy = { temperature: 0, maxTokens: 8 };
    const [model, tokenizer] = [await loadModel(dir), await loadTokenizer(dir)];
    const ids: number[] = [];
    for await (const id of generate(model, tokenizer.encode("the"), greedy)) ids.push(id);
    model.dispose();
    const stop = ids.findIndex((id, i) => i > 0 && !ids.slice(0, i).includes(id));
    await writeFile(join(dir, "generation_config.json"), JSON.stringify({ eos_token_id: [ids[stop]] }));
    const { out } = await run("the", "--temperature", "0", "-n", "8");
    await rm(join(dir, "generation_config.json"));
    expect(out).toBe(`the${tokenizer.decode(ids.slice(0, stop))}\n`);
  });

  test("of no tokens is the text", async () => {
    expect(await run("the router", "-n", "0")).toEqual({ code: 0, err: "", out: "the router\n" });
  });

  test("streams: the text comes first, and then more than one piece", async () => {
    const pieces: string[] = [];
    const args = ["generate", dir, "--text", "the", "-n", "40", "--top-k", "20"];
    const { out } = await moescope(args, { backend: "wasm", onOut: (piece) => void pieces.push(piece) });
    expect(pieces[0]).toBe("the");
    expect(pieces.length).toBeGreaterThan(2);
    expect(pieces.join("")).toBe(out);
  });

  test("ends in peace when its reader has seen enough", async () => {
    const { code, err } = await moescope(["generate", dir, "--text", "the", "-n", "40"], {
      backend: "wasm",
      closeOut: true,
    });
    expect([code, err]).toEqual([0, ""]);
  });
});
