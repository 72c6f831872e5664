/**
 * Trains the small models of the four studies and sums up what they show: `npx tsx scripts/studies.ts [--only NAME]`.
 * Reads `.cache/corpus`, writes `models/studies`: a tokenizer, a record for each run, the routing of the probe text on the way of
 * the first one, and summary.json. A run whose record is there is not trained again, so a stopped command goes on where it was.
 */
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { useBackend } from "../lib/backend.ts";
import { exists, loadTokenizer, readJson } from "../lib/checkpoint/folder.ts";
import { readTexts, tokensOf } from "../lib/cli/corpus.ts";
import { progressLine } from "../lib/cli/progress.ts";
import { clock } from "../lib/clock.ts";
import { saveTrace } from "../lib/trace/node.ts";
import { trainBpe } from "../lib/train/bpe.ts";
import { probeKind } from "./studies/probe.ts";
import { summaryOf } from "./studies/summary.ts";
import { type StudyRecord, trainVariant } from "./studies/trainVariant.ts";
import { N_PIECES, studyRun, VARIANTS } from "./studies/variants.ts";

const CORPUS = join(import.meta.dirname, "../.cache/corpus");
const STUDIES = join(import.meta.dirname, "../models/studies");

/** Every tenth document holds more tokens than a run reads, so no model sees a token twice. */
const ONE_IN = 10;

/** Windows of each kind in the probe text. */
const N_WINDOWS = 8;

const { values } = parseArgs({ options: { only: { type: "string", multiple: true } } });
const { only = VARIANTS.map(({ name }) => name) } = values;
const strangers = only.filter((name) => !VARIANTS.some((variant) => variant.name === name));
if (strangers.length > 0)
  throw new RangeError(
    `studies: --only must be of ${VARIANTS.map(({ name }) => name).join(", ")}, got ${strangers.join(", ")}`,
  );

await mkdir(STUDIES, { recursive: true });
const texts = await trainingTexts();
const tokenizerPath = join(STUDIES, "tokenizer.json");
if (!(await exists(tokenizerPath))) await writeWhole(tokenizerPath, trainBpe(texts, { vocabSize: N_PIECES }));
const tokenizer = await loadTokenizer(STUDIES);
const { pos } = studyRun(VARIANTS[0]!, 1);
const heldOut = await readTexts(join(CORPUS, "heldout"));
const probe = [...heldOut].map(([kind, documents]) =>
  probeKind(kind, documents, tokenizer, { nWindows: N_WINDOWS, pos }),
);
await useBackend();
for (const folder of ["runs", "traces"]) await mkdir(join(STUDIES, folder), { recursive: true });

const line = progressLine();
let tokens: Uint16Array | null = null;
// Every model with one seed before any with the next, so that a stopped command leaves models that can be compared.
const jobs = VARIANTS.flatMap((variant) =>
  Array.from({ length: variant.nSeeds }, (_, i) => ({ variant, seed: i + 1 })),
);
jobs.sort((a, b) => a.seed - b.seed);
for (const { variant, seed } of jobs.filter((job) => only.includes(job.variant.name))) {
  const path = join(STUDIES, "runs", `${variant.name}-${seed}.json`);
  if (await exists(path)) continue;
  tokens ??= tokensOf(texts, tokenizer);
  const { record, traces } = await trainVariant(variant, seed, { tokens, probe }, (p) =>
    line.show(`${variant.name} ${seed}  step ${p.step}/${p.steps}  ${clock(p.secondsLeft)} left`),
  );
  if (variant === VARIANTS[0] && seed === 1)
    for (const [step, trace] of traces) {
      const small = { ...trace, expertWeights: null, routerProbs: null };
      await saveTrace(join(STUDIES, "traces", `step-${String(step).padStart(4, "0")}.parquet`), small);
    }
  await writeWhole(path, record);
  line.clear();
  console.log(`${variant.name} ${seed}: ${record.probes.at(-1)!.natsPerToken} nats a token, ${clock(record.seconds)}`);
}

const records: StudyRecord[] = [];
for (const { variant, seed } of jobs) {
  const path = join(STUDIES, "runs", `${variant.name}-${seed}.json`);
  if (await exists(path)) records.push((await readJson(path)) as StudyRecord);
}
await writeWhole(join(STUDIES, "summary.json"), summaryOf(records));

async function trainingTexts(): Promise<string[]> {
  const kinds = await readTexts(join(CORPUS, "train"));
  return [...kinds.values()].flatMap((documents) => documents.filter((_, i) => i % ONE_IN === 0));
}

async function writeWhole(path: string, json: object): Promise<void> {
  await writeFile(`${path}.tmp`, `${JSON.stringify(json)}\n`);
  await rename(`${path}.tmp`, path);
}
