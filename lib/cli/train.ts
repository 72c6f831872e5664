import { appendFile, copyFile, mkdir, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { useBackend } from "../backend.ts";
import { exists, readJson, readText, saveModel } from "../checkpoint/folder.ts";
import { refused, removeUnfinished } from "../checkpoint/node.ts";
import { ConfigError, shown } from "../errors.ts";
import type { MoeModel } from "../model.ts";
import { fromTokenizerJson } from "../tokenizer/huggingFace.ts";
import { textLoss } from "../train/evaluate.ts";
import { progressText } from "../train/progressText.ts";
import { parseRun, type TrainingRun } from "../train/run.ts";
import { readState, writeState } from "../train/state.ts";
import { type TrainingProgress, train } from "../train/train.ts";
import { type Command, parse } from "./command.ts";
import { readTexts, tokensOf } from "./corpus.ts";
import { type Progress, progressLine } from "./progress.ts";

/** Where a run reads and writes; paths are relative to the working folder. */
interface RunFiles {
  /** A folder with tokenizer.json, train/KIND.jsonl and heldout/KIND.jsonl (a document a line under `text`), and a manifest.json of their sources if there is one. */
  data: string;
  /** The model folder to write. */
  out: string;
  /** The file that a killed run goes on from; the curve is beside it. */
  state: string;
}

/** Training keeps a token in 16 bits. */
const MAX_VOCABULARY = 1 << 16;

export const trainCommand: Command = {
  usage: "moescope train RUN.json",
  summary: "Trains the model that RUN.json describes, or goes on where a killed run stopped.",
  details: [
    "RUN.json  data (a folder with tokenizer.json, train/KIND.jsonl, heldout/KIND.jsonl), out (the model folder), state",
    "          (the file to resume from), model (a config.json), batch, pos, steps, rate, and what TrainingRun documents",
    "The same file and data give the same model, however often the run was interrupted. A state goes with its run and text:",
    "nothing but the paths may change before it is resumed; to begin anew, remove it. A finished run trains on where",
    "restarts names its last step and steps is more.",
  ].join("\n"),
  async run(args) {
    await trainFrom(parse(args, ["RUN.json"], {}).positionals[0]!);
  },
};

async function trainFrom(path: string): Promise<void> {
  const print = progressLine();
  const { files, run } = await readRun(path);
  const tokenizerPath = join(files.data, "tokenizer.json");
  const tokenizer = fromTokenizerJson(await readJson(tokenizerPath));
  const most = Math.min(run.model.dVocab, MAX_VOCABULARY);
  if (tokenizer.vocabSize > most)
    throw new ConfigError(`${tokenizerPath}: vocabulary must be at most ${most} tokens, got ${tokenizer.vocabSize}`);
  const texts = await readTexts(join(files.data, "train"));
  const heldOut = await readTexts(join(files.data, "heldout"));
  const tokens = tokensOf([...texts.values()].flat(), tokenizer);
  const backend = await useBackend();
  print.keep(`${[...texts.keys()].join(", ")}: ${tokens.length} tokens; on ${backend}`);
  const model = await trainResumably(files, run, tokens, print);

  await removeUnfinished(join(files.out, "model.safetensors"));
  await saveModel(files.out, model);
  const losses = [...heldOut].map(([kind, documents]) => {
    const stride = Math.ceil(run.pos / 4); // a token is predicted from three quarters of the context or more
    const loss = textLoss(model, tokensOf(documents, tokenizer), { pos: run.pos, stride });
    const bytes = documents.reduce((sum, text) => sum + Buffer.byteLength(text), 0);
    return { kind, bytes, ...loss, bitsPerByte: (loss.natsPerToken * loss.nTokens) / Math.LN2 / bytes };
  });
  await writing(files.out, async () => {
    await copyFile(tokenizerPath, join(files.out, "tokenizer.json"));
    await copyFile(curveOf(files.state), join(files.out, "curve.jsonl"));
    const manifest = join(files.data, "manifest.json");
    if (await exists(manifest)) await copyFile(manifest, join(files.out, "data.json"));
    await writeFile(join(files.out, "heldout.json"), `${JSON.stringify(losses, null, 2)}\n`);
  });
  for (const { kind, natsPerToken, bitsPerByte } of losses)
    print.keep(`${kind.padEnd(12)} ${natsPerToken.toFixed(3)} nats a token, ${bitsPerByte.toFixed(3)} bits a byte`);
  print.keep(`written to ${files.out}`);
  model.dispose();
}

/** @throws ConfigError, CheckpointError */
async function readRun(path: string): Promise<{ files: RunFiles; run: TrainingRun }> {
  const json = await readJson(path);
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new ConfigError(`${path}: must be an object, got ${shown(json)}`);
  const { data, out, state, ...fields } = json as RunFiles & Record<string, unknown>;
  for (const [field, value] of Object.entries({ data, out, state }))
    if (typeof value !== "string") throw new ConfigError(`${path}: ${field} must be a path, got ${shown(value)}`);
  return { files: { data, out, state }, run: parseRun(fields) };
}

/** Losses and loads of every step, as JSON lines beside the state. */
function curveOf(state: string): string {
  return `${state}.curve.jsonl`;
}

/** Trains, keeping the state and the curve on disk; goes on from a state that is there. */
async function trainResumably(
  { state: path }: RunFiles,
  run: TrainingRun,
  tokens: Uint16Array,
  print: Progress,
): Promise<MoeModel> {
  const curve = curveOf(path);
  await writing(path, async () => {
    await mkdir(dirname(path), { recursive: true });
    await removeUnfinished(path);
  });
  const state = (await exists(path)) ? await readState(path, run, tokens) : undefined;
  if (state !== undefined) print.keep(`going on from step ${state.step} of ${run.steps}`);
  await writing(curve, () => cutCurve(curve, state?.step ?? 0));
  let pending: string[] = [];
  return train(run, tokens, {
    ...(state === undefined ? {} : { state }),
    onStep: (progress) => {
      pending.push(`${JSON.stringify(curvePoint(progress))}\n`);
      print.show(progressText(progress));
    },
    onCheckpoint: async (current) => {
      await writing(curve, () => appendFile(curve, pending.join("")));
      pending = [];
      await writeState(path, current, run, tokens);
    },
  });
}

/** Changes files; a refusal of the system becomes one line that names the path. */
async function writing(path: string, change: () => Promise<void>): Promise<void> {
  try {
    await change();
  } catch (cause) {
    throw refused(path, "must be writable", cause);
  }
}

/** A step of the curve; a dense model has no auxiliary losses and no loads, and no fields for them. */
function curvePoint({ step, crossEntropy, loadBalance, zLoss, gradientNorm, maxViolation }: TrainingProgress): object {
  const round = (value: number): number => Number(value.toPrecision(5));
  const isDense = loadBalance === null || zLoss === null;
  return {
    step,
    crossEntropy: round(crossEntropy),
    ...(isDense ? {} : { loadBalance: round(loadBalance), zLoss: round(zLoss) }),
    gradientNorm: round(gradientNorm),
    ...(isDense ? {} : { maxViolation: maxViolation.map(round) }),
  };
}

/**
 * Drops the points of the curve past a step: a killed run may have noted them after its last checkpoint, the last of
 * them only in part.
 */
async function cutCurve(path: string, step: number): Promise<void> {
  const lines = (await exists(path)) ? (await readText(path)).split("\n").slice(0, -1) : [];
  const kept = lines.filter((line) => (JSON.parse(line) as { step: number }).step <= step);
  await writeFile(`${path}.tmp`, kept.map((line) => `${line}\n`).join(""));
  await rename(`${path}.tmp`, path);
}
