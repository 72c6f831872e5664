import { appendFile, mkdir, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { useBackend } from "../backend.ts";
import { exists, readJson, saveModel } from "../checkpoint/folder.ts";
import { CheckpointError, ConfigError, shown } from "../errors.ts";
import { fromTokenizerJson } from "../tokenizer/huggingFace.ts";
import type { Tokenizer } from "../tokenizer/tokenizer.ts";
import { textLoss } from "../train/evaluate.ts";
import { parseRun } from "../train/run.ts";
import { readState, writeState } from "../train/state.ts";
import { type TrainingProgress, train } from "../train/train.ts";
import { type Command, parse } from "./command.ts";
import { clock } from "./format.ts";

/** Where a run reads and writes; paths are relative to the working folder. */
interface RunFiles {
  /** A folder with tokenizer.json, train/KIND.jsonl and heldout/KIND.jsonl, a document a line under `text`. */
  data: string;
  /** The model folder to write. */
  out: string;
  /** The file that a killed run goes on from; the curve is beside it. */
  state: string;
}

/** Where nobody watches the line being overwritten, one in this time is enough. */
const PASSING_MS = 10_000;

const END_OF_TEXT = "<|endoftext|>";

/** Prints lines that stay, and, on a terminal, one that the next overwrites; elsewhere that one only now and then. */
function printer(): { line(text: string): void; passing(text: string): void } {
  const { stderr } = process;
  let last = 0;
  return {
    line: (text) => stderr.write(stderr.isTTY ? `\r\x1b[K${text}\n` : `${text}\n`),
    passing: (text) => {
      const now = performance.now();
      if (!stderr.isTTY && now - last < PASSING_MS) return;
      last = now;
      stderr.write(stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
    },
  };
}

export const trainCommand: Command = {
  usage: "moescope train RUN.json",
  summary: "Trains the model that RUN.json describes, or goes on where a killed run stopped.",
  details: [
    "RUN.json  data (a folder with tokenizer.json, train/KIND.jsonl, heldout/KIND.jsonl), out (the model folder), state",
    "          (the file to resume from), model (a config.json), batch, pos, steps, rate, and what TrainingRun documents",
    "The same file and data give the same model, however often the run was interrupted.",
  ].join("\n"),
  async run(args) {
    await trainFrom(parse(args, ["RUN.json"], {}).positionals[0]!);
  },
};

async function trainFrom(path: string): Promise<void> {
  const print = printer();
  const { data, out, state: statePath, ...fields } = (await readJson(path)) as RunFiles & Record<string, unknown>;
  for (const [field, value] of Object.entries({ data, out, state: statePath }))
    if (typeof value !== "string") throw new ConfigError(`${path}: ${field} must be a path, got ${shown(value)}`);
  const run = parseRun(fields);
  const backend = await useBackend();
  const tokenizer = fromTokenizerJson(await readJson(join(data, "tokenizer.json")));
  if (tokenizer.vocabSize > run.model.dVocab)
    throw new ConfigError(
      `${path}: model.vocab_size must be at least the tokenizer's ${tokenizer.vocabSize}, got ${run.model.dVocab}`,
    );
  const texts = await readTexts(join(data, "train"));
  const tokens = tokensOf([...texts.values()].flat(), tokenizer);
  print.line(`${[...texts.keys()].join(", ")}: ${tokens.length} tokens; on ${backend}`);

  await mkdir(dirname(statePath), { recursive: true });
  const state = (await exists(statePath)) ? await readState(statePath, run) : undefined;
  if (state !== undefined) print.line(`going on from step ${state.step} of ${run.steps}`);
  const curve = `${statePath}.curve.jsonl`;
  await cutCurve(curve, state?.step ?? 0);
  let pending: string[] = [];
  const model = await train(run, tokens, {
    ...(state === undefined ? {} : { state }),
    onStep: (progress) => {
      pending.push(JSON.stringify(curvePoint(progress)));
      print.passing(progressLine(progress));
    },
    onCheckpoint: async (current) => {
      await appendFile(curve, pending.map((line) => `${line}\n`).join(""));
      pending = [];
      await writeState(statePath, current, run);
    },
  });
  await saveModel(out, model);
  await writeFile(join(out, "tokenizer.json"), await readFile(join(data, "tokenizer.json")));
  const heldOut = await readTexts(join(data, "heldout"));
  const losses = [...heldOut].map(([kind, documents]) => {
    const loss = textLoss(model, tokensOf(documents, tokenizer), run.pos);
    const bytes = documents.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    return { kind, bytes, ...loss, bitsPerByte: (loss.natsPerToken * loss.nTokens) / Math.LN2 / bytes };
  });
  await writeFile(join(out, "heldout.json"), `${JSON.stringify(losses, null, 2)}\n`);
  for (const { kind, natsPerToken, bitsPerByte } of losses)
    print.line(`${kind.padEnd(12)} ${natsPerToken.toFixed(3)} nats a token, ${bitsPerByte.toFixed(3)} bits a byte`);
  print.line(`written to ${out}`);
  model.dispose();
}

function curvePoint({ step, crossEntropy, loadBalance, zLoss, gradientNorm, maxViolation }: TrainingProgress): object {
  const round = (value: number): number => Number(value.toPrecision(5));
  return {
    step,
    crossEntropy: round(crossEntropy),
    loadBalance: round(loadBalance),
    zLoss: round(zLoss),
    gradientNorm: round(gradientNorm),
    maxViolation: maxViolation.map(round),
  };
}

function progressLine(p: TrainingProgress): string {
  return [
    `step ${p.step}/${p.steps}`,
    `loss ${p.crossEntropy.toFixed(3)}`,
    `balance ${p.loadBalance.toFixed(3)}`,
    `MaxVio ${Math.max(...p.maxViolation).toFixed(2)}`,
    `${Math.round(p.tokensPerSecond)} tokens/s`,
    `${clock(p.secondsLeft)} left`,
  ].join("  ");
}

/** The documents of each kind: `KIND.jsonl`, sorted by name. */
async function readTexts(folder: string): Promise<Map<string, string[]>> {
  const files = (await readdir(folder).catch(() => [])).filter((file) => file.endsWith(".jsonl")).sort();
  if (files.length === 0) throw new CheckpointError(`${folder}: must hold KIND.jsonl files, got none`);
  const texts = new Map<string, string[]>();
  for (const file of files) {
    const lines = (await readFile(join(folder, file), "utf8")).trimEnd().split("\n");
    texts.set(
      file.slice(0, -".jsonl".length),
      lines.map((line) => (JSON.parse(line) as { text: string }).text),
    );
  }
  return texts;
}

/** Documents one after the other, an end-of-text token after each. */
function tokensOf(documents: readonly string[], tokenizer: Tokenizer): Uint16Array {
  const end = tokenizer.specials.get(END_OF_TEXT);
  if (end === undefined) throw new ConfigError(`tokenizer.json: must have the special token ${END_OF_TEXT}, got none`);
  return Uint16Array.from(documents.flatMap((text) => [...tokenizer.encode(text), end]));
}

/** Drops the points of the curve past a step: a killed run may have noted them after its last checkpoint. */
async function cutCurve(path: string, step: number): Promise<void> {
  const lines = (await exists(path)) ? (await readFile(path, "utf8")).split("\n").filter(Boolean) : [];
  const kept = lines.filter((line) => (JSON.parse(line) as { step: number }).step <= step);
  await writeFile(`${path}.tmp`, kept.map((line) => `${line}\n`).join(""));
  await rename(`${path}.tmp`, path);
}
