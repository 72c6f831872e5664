import { mkdir, mkdtemp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { openFolder, writeSafetensors } from "../../../lib/checkpoint/node.ts";
import { CheckpointError } from "../../../lib/errors.ts";
import { dbrx } from "../../../lib/families/dbrx.ts";
import { parseRun } from "../../../lib/train/run.ts";
import { readState, writeState } from "../../../lib/train/state.ts";
import type { TrainingState } from "../../../lib/train/train.ts";
import { randomParams, TINY } from "../../helpers.ts";
import { bitsOf } from "../checkpoint/files.ts";

const TOKENS = Uint16Array.from([3, 1, 4, 1, 5, 9, 2, 6, 300]);
const RUN = parseRun({ model: dbrx.toJson(TINY), batch: 2, pos: 8, steps: 10, rate: 0.01 });

function stateOf(step: number): TrainingState {
  const [params, first, second] = [1, 2, 3].map((seed) => randomParams(TINY, seed)) as [
    TrainingState["params"],
    TrainingState["params"],
    TrainingState["params"],
  ];
  return { step, params, moments: { first, second } };
}

function bits({ params, moments }: TrainingState): number[][] {
  return [params, moments.first, moments.second].flatMap((map) =>
    [...map.values()].map((value) => [...value.shape, ...bitsOf(value.dataSync<"float32">())]),
  );
}

function dispose({ params, moments }: TrainingState): void {
  for (const map of [params, moments.first, moments.second]) tf.dispose([...map.values()]);
}

describe("the state of a run", () => {
  let dir: string;
  let path: string;
  beforeAll(async () => {
    await useBackend();
  });
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "moescope-"));
    path = join(dir, "state.safetensors");
  });
  afterEach(async () => {
    await rm(dir, { recursive: true });
  });

  test("comes back bit for bit, NaN and −0 too, and leaves no tensor or other file behind", async () => {
    const state = stateOf(7);
    state.moments.first.get("ln_final.w")!.dispose();
    state.moments.first.set("ln_final.w", tf.tensor1d([Number.NaN, -0, 1e-42, ...Array<number>(13).fill(1)]));
    const before = tf.memory().numTensors;
    await writeState(path, state, RUN, TOKENS);
    expect(tf.memory().numTensors).toBe(before);
    const again = await readState(path, RUN, TOKENS);
    expect(again.step).toBe(7);
    expect(bits(again)).toEqual(bits(state));
    expect([...again.params.keys()]).toEqual([...state.params.keys()]);
    expect(await readdir(dir)).toEqual(["state.safetensors"]);
    for (const s of [state, again]) dispose(s);
    expect(tf.memory().numTensors).toBe(before - 3 * 19);
  });

  test("is a safetensors file that says its step, its run and its text", async () => {
    const state = stateOf(3);
    await writeState(path, state, RUN, TOKENS);
    const checkpoint = await openFolder(path);
    expect(checkpoint.metadata).toEqual({
      step: "3",
      experts: "[n_experts, out, in]",
      run: JSON.stringify(RUN),
      // sha256sum of the tokens' 18 bytes
      text: "0f2093af0e264de33496640e81b713aa0452b847ce0ee50c6c2bb90a9a16aa39",
    });
    expect(checkpoint.info.tensors).toBe(3 * 19);
    await checkpoint.close();
    dispose(state);
  });

  test.each([
    ["seed", { seed: 2 }],
    ["rate", { rate: 0.02 }],
    ["steps", { steps: 11 }],
    ["model", { model: { ...TINY, nCtx: 16 } }],
    ["batch, seed", { batch: 3, seed: 2 }],
  ])("of a run with another %s is refused, and the file left alone", async (fields, change) => {
    const state = stateOf(3);
    await writeState(path, state, RUN, TOKENS);
    const bytes = await readFile(path);
    await expect(readState(path, { ...RUN, ...change }, TOKENS)).rejects.toThrow(
      `${path}: must come from the same run, got one with another ${fields}; remove it to begin anew`,
    );
    expect(await readFile(path)).toEqual(bytes);
    dispose(state);
  });

  test("goes on for longer where the rates of the steps taken stay as they were, and not where they would not", async () => {
    const state = stateOf(10);
    await writeState(path, state, RUN, TOKENS);
    for (const longer of [
      { steps: 30, restarts: [10] },
      { steps: 30, restarts: [10, 20] },
    ]) {
      const again = await readState(path, { ...RUN, ...longer }, TOKENS);
      expect(again.step).toBe(10);
      dispose(again);
    }
    for (const [fields, change] of [
      ["steps", { steps: 30 }],
      ["steps, restarts", { steps: 30, restarts: [9] }],
      ["steps, restarts", { steps: 30, restarts: [11] }],
      ["seed", { seed: 2, steps: 30, restarts: [10] }],
    ] as const)
      await expect(readState(path, { ...RUN, ...change }, TOKENS)).rejects.toThrow(
        `${path}: must come from the same run, got one with another ${fields}; remove it to begin anew`,
      );
    dispose(state);
  });

  test("of the same run on another text is refused, and the file left alone", async () => {
    const state = stateOf(3);
    await writeState(path, state, RUN, TOKENS);
    const bytes = await readFile(path);
    for (const tokens of [TOKENS.with(8, 301), TOKENS.subarray(0, 8)])
      await expect(readState(path, RUN, tokens)).rejects.toThrow(
        `${path}: must come from the same text and tokenizer, got others; remove it to begin anew`,
      );
    expect(await readFile(path)).toEqual(bytes);
    dispose(state);
  });

  test("that does not say how its experts lie is refused", async () => {
    const state = stateOf(3);
    await writeState(path, state, RUN, TOKENS);
    const checkpoint = await openFolder(path);
    const { experts: _, ...metadata } = checkpoint.metadata;
    await checkpoint.close();
    await writeSafetensors(path, [], { metadata });
    await expect(readState(path, RUN, TOKENS)).rejects.toThrow(
      new CheckpointError(
        `${path}: experts must lie as [n_experts, out, in], got a state that does not say so; remove it to begin anew`,
      ),
    );
    dispose(state);
  });

  test("that does not say its run, or not in JSON, is refused", async () => {
    for (const metadata of [{}, { run: "null" }, { run: "{" }] as Record<string, string>[]) {
      await writeSafetensors(path, [], { metadata });
      await expect(readState(path, RUN, TOKENS)).rejects.toThrow(
        /state\.safetensors: must come from the same run, got one with another (run|batch, pos, .*); remove it to begin anew$/,
      );
    }
  });

  test.each<[string, () => Promise<unknown>, RegExp]>([
    ["is cut short", () => truncate(path, 30_000), /state\.safetensors: .*, got /],
    ["is empty", () => truncate(path, 0), /state\.safetensors: .*, got /],
    ["is something else", () => writeFile(path, "step 7"), /state\.safetensors: .*, got /],
    ["is a folder", () => rm(path).then(() => mkdir(path)), /state\.safetensors: must be a readable file, got /],
    ["is gone", () => rm(path), /state\.safetensors: must be a readable file, got ENOENT/],
  ])("in a file that %s is refused in one line", async (_, change, message) => {
    const state = stateOf(7);
    await writeState(path, state, RUN, TOKENS);
    dispose(state);
    await change();
    const error = await readState(path, RUN, TOKENS).catch((cause: unknown) => cause);
    expect(error).toBeInstanceOf(CheckpointError);
    expect((error as Error).message).toMatch(message);
    expect((error as Error).message).not.toContain("\n");
  });

  test("replaces the former one only when it is whole", async () => {
    const [former, next] = [stateOf(1), stateOf(2)];
    await writeState(path, former, RUN, TOKENS);
    const bytes = await readFile(path);
    next.params.get("ln_final.w")!.dispose(); // reading it fails, after most of the tensors
    await expect(writeState(path, next, RUN, TOKENS)).rejects.toThrow("disposed");
    expect(await readFile(path)).toEqual(bytes);
    expect(await readdir(dir)).toEqual(["state.safetensors"]);
    for (const s of [former, next]) dispose(s);
  });

  test("that cannot be written is one line", async () => {
    const state = stateOf(1);
    await writeFile(join(dir, "file"), "");
    await expect(writeState(join(dir, "file", "state.safetensors"), state, RUN, TOKENS)).rejects.toThrow(
      /state\.safetensors: must be writable, got ENOTDIR/,
    );
    await expect(writeState(join(dir, "none", "state.safetensors"), state, RUN, TOKENS)).rejects.toThrow(
      /state\.safetensors: must be writable, got ENOENT/,
    );
    dispose(state);
  });
});
