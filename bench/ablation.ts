/**
 * Times taking out every expert of every layer, one at a time, on 4,096 tokens of the shipped model:
 * `npx tsx bench/ablation.ts [--model models/reference] [--kind zero] [--tokens 4096]`. Prints progress, and
 * beside the time the processor seconds, which tell more where the machine does other work too.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { ablateEachExpert } from "../lib/analysis/ablateEachExpert.ts";
import { lossOf } from "../lib/analysis/lossOf.ts";
import { useBackend } from "../lib/backend.ts";
import { loadModel, loadTokenizer } from "../lib/checkpoint/folder.ts";
import { moeOf } from "../lib/config.ts";
import { type Ablation } from "../lib/interventions/ablateExperts.ts";

const { values } = parseArgs({
  options: {
    model: { type: "string", default: "models/reference" },
    kind: { type: "string", default: "zero" },
    tokens: { type: "string", default: "4096" },
    whole: { type: "boolean", default: false },
  },
});

interface Clock {
  wall: number;
  cpu: NodeJS.CpuUsage;
}
const started = (): Clock => ({ wall: performance.now(), cpu: process.cpuUsage() });
const spent = ({ wall, cpu }: Clock): { wall: number; cpu: number } => {
  const { user, system } = process.cpuUsage(cpu);
  return { wall: (performance.now() - wall) / 1000, cpu: (user + system) / 1e6 };
};
const text = ({ wall, cpu }: { wall: number; cpu: number }): string =>
  `${wall.toFixed(1)} s (processor ${cpu.toFixed(1)} s)`;

const backend = await useBackend();
const model = await loadModel(values.model);
const tokenizer = await loadTokenizer(values.model);
const passages = JSON.parse(readFileSync(join(import.meta.dirname, "../models/passages.json"), "utf8")) as {
  text: string;
}[];
const ids = passages.flatMap((passage) => tokenizer.encode(passage.text));
const length = Math.min(model.config.nCtx, 256);
const documents = Array.from({ length: Number(values.tokens) / length }, (_, d) =>
  Array.from({ length }, (_token, t) => ids[(d * length + t) % ids.length]!),
);
const { nLayers } = model.config;
const { nExperts } = moeOf(model.config);
const experts = nLayers * nExperts;
const kind = values.kind as Ablation;
console.log(`${backend}: ${experts} experts, ${documents.length} x ${length} tokens, ${kind}`);

lossOf(model, documents);
const first = started();
const base = lossOf(model, documents);
const once = spent(first);
const start = started();
const found = await ablateEachExpert(model, documents, {
  kinds: [kind],
  onProgress: (done, total) => {
    if (done % nExperts === 0) console.log(`  ${done} of ${total}, ${text(spent(start))}`);
  },
});
const all = spent(start);
console.log(`loss ${base.mean.toFixed(4)}; largest change ${Math.max(...found.kinds[0]!.delta).toFixed(4)}`);
console.log(`one run ${text(once)}; every expert once ${text(all)}`);
console.log(`processor time: ${(all.cpu / (experts * once.cpu)).toFixed(2)} of as many whole runs`);
model.dispose();
