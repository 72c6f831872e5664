/**
 * Makes the reference model from nothing, and measures it: `npm run reference [-- STEP...]`, every step in this order unless
 * some are named. With `--short FOLDER` the same steps make a tiny model of text that needs no download, in that folder.
 *
 *   corpus      downloads the pinned packages and writes .cache/corpus
 *   tokenizer   trains the tokenizer on it
 *   model       trains models/reference/run.json, or goes on where it was stopped
 *   references  models/reference/references.json: xz and n-gram models on the same held-out text
 *   routing     models/reference/specialization.json: load, and specialisation by kind beside its chance level, by layer
 *   samples     models/reference/samples.json: continuations of each kind, by fixed seeds
 *   card        models/reference/README.md: all of that on one page
 */
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { useBackend } from "../lib/backend.ts";
import { loadModel, loadTokenizer, readJson } from "../lib/checkpoint/folder.ts";
import { readTexts, tokensOf } from "../lib/cli/corpus.ts";
import type { TrainingRun } from "../lib/train/run.ts";
import { modelCard } from "./reference/card.ts";
import { modelFolder } from "./reference/modelFolder.ts";
import { outsideReferences } from "./reference/outside.ts";
import { heldOutRouting } from "./reference/routing.ts";
import { sampleContinuations } from "./reference/samples.ts";
import { writeShortCorpus } from "./reference/shortCorpus.ts";

const ROOT = join(import.meta.dirname, "..");
const { values, positionals: wanted } = parseArgs({ options: { short: { type: "string" } }, allowPositionals: true });
const short = values.short === undefined ? null : resolve(values.short);
const CORPUS = short === null ? join(ROOT, ".cache/corpus") : join(short, "corpus");
const MODEL = short === null ? join(ROOT, "models/reference") : join(short, "model");
const RUN = short === null ? join(MODEL, "run.json") : join(short, "run.json");

const STEPS: Record<string, () => void | Promise<void>> = {
  corpus: () => (short === null ? command("scripts/corpus.ts") : writeShortCorpus(short, ROOT)),
  tokenizer: () => command("scripts/tokenizer.ts", short === null ? "4096" : "512", CORPUS),
  model: () => command("lib/cli/main.ts", "train", RUN),
  references: async () => {
    const train = await readTexts(join(CORPUS, "train"));
    const tokenizer = await loadTokenizer(CORPUS);
    const references = outsideReferences(
      [...train.values()].flat(),
      await readTexts(join(CORPUS, "heldout")),
      tokenizer,
    );
    write("references.json", references);
    for (const { kind, xz, byteNgram, tokenNgram } of references)
      console.log(kind.padEnd(12), [xz, byteNgram, tokenNgram].map((bits) => bits.toFixed(3)).join("  "));
  },
  routing: async () => {
    const { model, tokenizer, heldOut, pos } = await made();
    const tokens = new Map([...heldOut].map(([kind, documents]) => [kind, tokensOf(documents, tokenizer)]));
    const routing = heldOutRouting(model, tokens, pos, (kind) => console.log(kind));
    write("specialization.json", routing);
    for (const { layer, maxVio, specialization } of routing.layers)
      console.log(
        `layer ${layer}  MaxVio ${maxVio.toFixed(3)}  specialisation ${specialization.value.toFixed(4)} bits`,
        `(shuffled ${specialization.chance.mean.toFixed(4)})`,
      );
    model.dispose();
  },
  samples: async () => {
    const { model, tokenizer, heldOut } = await made();
    write("samples.json", await sampleContinuations(model, tokenizer, heldOut));
    model.dispose();
  },
  ...(short === null ? { card } : {}), // it tells of the real texts
};

const strangers = wanted.filter((step) => !(step in STEPS));
if (strangers.length > 0)
  throw new RangeError(`reference: steps must be of ${Object.keys(STEPS).join(", ")}, got ${strangers.join(", ")}`);
for (const [step, run] of Object.entries(STEPS)) {
  if (wanted.length > 0 && !wanted.includes(step)) continue;
  console.log(`${step} …`);
  await run();
}

async function card(): Promise<void> {
  writeFileSync(join(MODEL, "README.md"), modelCard(await modelFolder(MODEL, RUN)));
}

/** Runs a script of this repository; where it fails, so does this one. */
function command(script: string, ...args: string[]): void {
  const { status } = spawnSync(
    process.execPath,
    ["--import", import.meta.resolve("tsx"), join(ROOT, script), ...args],
    {
      cwd: short ?? ROOT,
      stdio: "inherit",
    },
  );
  if (status !== 0) process.exit(status ?? 1);
}

async function made() {
  await useBackend();
  const run = (await readJson(RUN)) as Pick<TrainingRun, "pos">;
  return {
    model: await loadModel(MODEL),
    tokenizer: await loadTokenizer(MODEL),
    heldOut: await readTexts(join(CORPUS, "heldout")),
    pos: run.pos,
  };
}

function write(name: string, json: unknown): void {
  writeFileSync(join(MODEL, name), `${JSON.stringify(json, null, 2)}\n`);
}
