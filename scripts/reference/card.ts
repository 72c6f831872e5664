import { moeOf } from "../../lib/config.ts";
import { parseConfig } from "../../lib/families/index.ts";
import { parameterCounts } from "../../lib/params.ts";
import { markdownTable } from "../markdownTable.ts";
import type { OutsideReference } from "./outside.ts";
import type { HeldOutRouting } from "./routing.ts";
import type { Sample } from "./samples.ts";

/** What a trained model's folder holds besides its weights. */
export interface ModelFolder {
  /** config.json */
  config: object;
  /** run.json */
  run: { batch: number; pos: number; steps: number; restarts?: number[]; seed: number };
  /** data.json */
  data: { sources: unknown[]; kinds: { kind: string; share: number }[] };
  /** heldout.json */
  heldOut: { kind: string; bytes: number; natsPerToken: number; nTokens: number; bitsPerByte: number }[];
  /** references.json */
  references: OutsideReference[];
  /** specialization.json */
  routing: HeldOutRouting;
  /** samples.json */
  samples: Sample[];
  /** curve.jsonl, one for each step */
  curve: { crossEntropy: number; maxViolation: number[] }[];
}

/** Steps at the end of training over which loads are averaged. */
const LAST_STEPS = 100;

/** The model card: what the model is, what it was made of, and what was measured, each number from the model's own files. */
export function modelCard(folder: ModelFolder): string {
  const { config, run, data, heldOut, references, routing, samples } = folder;
  return `# The reference model

A small Mixture-of-Experts language model of DBRX's architecture, trained from scratch by this project's own code so that
every notebook runs on a laptop without a download. It is for looking inside an MoE; it is not for producing text that
anyone relies on. \`npm run reference -- card\` writes this page from the files beside it.

${markdownTable(summaryRows(config, run))}

## Data

${data.kinds.length} kinds of text in about equal shares (${data.kinds.map(({ kind, share }) => `${kind} ${percent(share)}`).join(", ")}), from
${data.sources.length} sources, all of them public domain or under a permissive licence; \`data.json\` names each with its package,
version, licence, size and hash. \`../passages.json\` holds short held-out passages for notebooks, each with its source and
licence. No mail and no personal data went in.

One command makes everything, from the downloads of the pinned packages to this page: \`npm run reference\`.

## How well it predicts

Bits for a byte of held-out documents, fewer is better, beside two kinds of outside references on the same bytes: \`xz -9\` on a
kind's documents together, and 5-gram models with interpolated modified Kneser-Ney smoothing, of bytes and of the model's
own tokens, counted on the text that the model was trained on. The model reads windows of ${run.pos} tokens; a token is predicted
from three quarters of that or more, but for the first ones of a kind.

${markdownTable(qualityRows(heldOut, references))}

## Its experts

On ${routing.nTokens.toLocaleString("en")} tokens of held-out text. MaxVio is the largest load over the uniform load, less 1; the least load is in parts of
the uniform one. Specialisation is the generalised Jensen-Shannon divergence of the kinds' loads, in bits, with its 95 %
interval. Each stands beside what chance gives: experts drawn at random for MaxVio, labels of windows shuffled for
specialisation (the upper end of the central 95 %).

${markdownTable(expertRows(folder))}

## What it writes

The first continuation of each kind by seed (temperature 0.8, top-p 0.95); \`samples.json\` holds ${samples.length / data.kinds.length} of each, chosen by the seeds 1
to ${samples.length / data.kinds.length} and by nothing else.

${samples
  .filter(({ seed }) => seed === 1)
  .map(sampleText)
  .join("\n\n")}

## What to keep in mind

- Its English is mostly Jane Austen, its Japanese is software documentation, its Spanish is half a Bible of 1909.
- Maths is easy for it because the exercises come from a program: it has learnt their form, and makes mistakes in their sums.
- A long document that repeats itself is easy for a compressor that sees all of it at once; the model sees ${run.pos} tokens.
- transformers 5.18 loads it as it is.
`;
}

function summaryRows(config: object, { batch, pos, steps, restarts = [], seed }: ModelFolder["run"]): string[][] {
  const model = parseConfig(config);
  const { nExperts, topK, dFf } = moeOf(model);
  const { total, active } = parameterCounts(model);
  const count = (n: number): string => n.toLocaleString("en");
  const anew =
    restarts.length === 0 ? "" : `, the learning rate beginning anew after step ${restarts.map(count).join(", ")}`;
  const heads = `${model.nHeads} query heads over ${model.nKvHeads} key-value heads`;
  return [
    ["", ""],
    [
      "architecture",
      `${model.nLayers} layers, d_model ${model.dModel}, ${heads}, ${nExperts} experts of d_ff ${dFf}, top-${topK}`,
    ],
    ["parameters", `${count(total)}, of which ${count(active)} are active for a token`],
    ["vocabulary", `${count(model.dVocab)} pieces, byte-level BPE trained on the same text`],
    ["context", `${model.nCtx} tokens`],
    ["files", "Hugging Face's DBRX layout: `config.json`, `model.safetensors` (bf16), `tokenizer.json`"],
    [
      "training",
      `\`run.json\`: ${count(steps)} steps of ${batch} x ${pos} tokens, ${((batch * pos * steps) / 1e6).toFixed(1)} million tokens in all${anew}; seed ${seed}`,
    ],
    ["losses", "next-token cross-entropy, and MegaBlocks' load-balancing loss with DBRX's weight 0.05; `curve.jsonl`"],
    ["licence", "Apache-2.0, as the rest of the project"],
  ];
}

function qualityRows(heldOut: ModelFolder["heldOut"], references: readonly OutsideReference[]): string[][] {
  const rows = heldOut.map(({ kind, natsPerToken, bitsPerByte }) => {
    const beside = references.find((one) => one.kind === kind);
    if (beside === undefined) throw new Error(`card: references.json must hold ${kind}`);
    const bits = [bitsPerByte, beside.xz, beside.byteNgram, beside.tokenNgram].map((n) => n.toFixed(3));
    return [kind, ...bits, natsPerToken.toFixed(3)];
  });
  return [["kind", "this model", "`xz -9`", "5-gram of bytes", "5-gram of tokens", "nats a token"], ...rows];
}

function expertRows({ config, routing, curve }: ModelFolder): string[][] {
  const { nExperts } = moeOf(parseConfig(config));
  const last = curve.slice(-LAST_STEPS);
  const inTraining = (l: number): number =>
    last.reduce((sum, { maxViolation }) => sum + maxViolation[l]!, 0) / last.length;
  const rows = routing.layers.map(({ layer, maxVio, maxVioByChance, leastLoad, specialization }, l) => {
    const { value, interval, chance } = specialization;
    return [
      String(layer),
      `${maxVio.toFixed(3)} (chance ${maxVioByChance.high.toFixed(3)})`,
      inTraining(l).toFixed(2),
      (leastLoad * nExperts).toFixed(2),
      `${value.toFixed(3)} (${interval.low.toFixed(3)} to ${interval.high.toFixed(3)}; chance ${chance.high.toFixed(4)})`,
    ];
  });
  const head = [
    "layer",
    "MaxVio",
    `MaxVio of a batch, last ${LAST_STEPS} steps`,
    "least load",
    "specialisation by kind",
  ];
  return [head, ...rows];
}

/** A continuation as a block that no Markdown of its own can end. */
function sampleText({ kind, given, added }: Sample): string {
  const fence = "`".repeat(Math.max(3, ...[...`${given}${added}`.matchAll(/`+/g)].map(([run]) => run.length + 1)));
  return `${kind}:\n\n${fence}text\n${given}⟦${added}⟧\n${fence}`;
}

function percent(share: number): string {
  return `${(100 * share).toFixed(0)} %`;
}
