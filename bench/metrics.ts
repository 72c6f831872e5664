/**
 * Times co-activation of all layers, and a sketch, over 50 million choices (312,500 tokens, 40 layers, 4 of 16):
 * `npx tsx bench/metrics.ts [--python PYTHON] [--tokens 312500] [--runs 5]`. PYTHON, where given, has numpy and duckdb and
 * counts the same choices in three other ways on one thread; the counts are compared first. Where other programs run, the
 * time of the processor is what can be compared. Then sketches a stream of
 * chunks, four times as many tokens the second time, and reports how much memory it took.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { coactivation } from "../lib/metrics/coactivation.ts";
import { countPairs } from "../lib/metrics/countPairs.ts";
import { seeded } from "../lib/metrics/random.ts";
import { mergeSketches, type Sketch, sketch } from "../lib/metrics/sketch.ts";
import type { RoutingTrace } from "../lib/trace/record.ts";

const { values } = parseArgs({
  options: {
    python: { type: "string" },
    tokens: { type: "string", default: "312500" },
    runs: { type: "string", default: "5" },
  },
});
const [TOKENS, RUNS] = [Number(values.tokens), Number(values.runs)];
const [LAYERS, TOP_K, EXPERTS] = [40, 4, 16];
const CHUNK = 4096;

/** Choices that lean to low experts, the more so the later the layer: [n_tokens, n_layers, top_k]. */
function choose(nTokens: number, seed: number): RoutingTrace {
  const uniform = seeded(seed);
  const expertIndices = new Uint16Array(nTokens * LAYERS * TOP_K);
  for (let from = 0; from < expertIndices.length; from += TOP_K) {
    const lean = 1 + ((from / TOP_K) % LAYERS) / LAYERS;
    for (let slot = 0; slot < TOP_K; ) {
      const expert = Math.floor(EXPERTS * uniform() ** lean);
      if (!expertIndices.subarray(from, from + slot).includes(expert)) expertIndices[from + slot++] = expert;
    }
  }
  return {
    source: { engine: "bench", model: "none" },
    nExperts: EXPERTS,
    topK: TOP_K,
    layers: Array.from({ length: LAYERS }, (_, layer) => layer),
    tokenIds: new Int32Array(nTokens),
    pieces: null,
    sequenceOffsets: Int32Array.from([0, nTokens]),
    expertIndices,
    expertWeights: null,
    routerProbs: null,
    rankOrdered: true,
  };
}

function timed(run: () => unknown): string {
  const runs = Array.from({ length: RUNS }, () => {
    const [start, used] = [performance.now(), process.cpuUsage()];
    run();
    const { user, system } = process.cpuUsage(used);
    return { passed: (performance.now() - start) / 1000, processor: (user + system) / 1e6 };
  });
  const median = (of: "passed" | "processor"): string =>
    runs
      .map((one) => one[of])
      .toSorted((a, b) => a - b)
      .at(Math.floor(RUNS / 2))!
      .toFixed(3);
  const first = runs[0]!.passed.toFixed(3);
  return `first ${first} s, median ${median("passed")} s, of which ${median("processor")} s of a processor`;
}

interface Answer {
  seconds: number;
  together: number[];
  rss: number;
}

/** What another way takes and counts, on the first tokens of the file. */
function peer(python: string, file: string, method: string, tokens: number): Answer {
  const sizes = [
    ["--tokens", tokens],
    ["--layers", LAYERS],
    ["--top-k", TOP_K],
    ["--experts", EXPERTS],
  ].flat();
  const script = join(import.meta.dirname, "metrics_peer.py");
  const out = execFileSync(python, [script, file, ...sizes.map(String), "--method", method], { maxBuffer: 1 << 28 });
  return JSON.parse(out.toString()) as Answer;
}

function compare(trace: RoutingTrace, python: string): void {
  const folder = mkdtempSync(join(tmpdir(), "moescope-metrics-"));
  const file = join(folder, "choices.u16");
  writeFileSync(file, new Uint8Array(trace.expertIndices.buffer));
  try {
    for (const [method, tokens] of [
      ["numpy", TOKENS],
      ["duckdb", TOKENS],
      ["loop", Math.ceil(TOKENS / 50)],
    ] as const) {
      const answer = peer(python, file, method, tokens);
      const { together } = countPairs(firstTokens(trace, tokens), "all");
      if (!answer.together.every((n, at) => n === together[at])) throw new Error(`bench: ${method} counts differently`);
      const scaled =
        tokens === TOKENS ? "" : `, ${((answer.seconds * TOKENS) / tokens).toFixed(1)} s for all by proportion`;
      console.log(
        `${method}: ${answer.seconds.toFixed(2)} s for ${tokens} tokens${scaled}; ${(answer.rss / 1e6).toFixed(0)} MB`,
      );
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function firstTokens(trace: RoutingTrace, nTokens: number): RoutingTrace {
  return {
    ...trace,
    tokenIds: trace.tokenIds.subarray(0, nTokens),
    sequenceOffsets: Int32Array.from([0, nTokens]),
    expertIndices: trace.expertIndices.subarray(0, nTokens * LAYERS * TOP_K),
  };
}

function* chunks(nTokens: number): Generator<Sketch> {
  for (let at = 0; at < nTokens; at += CHUNK) yield sketch(choose(Math.min(CHUNK, nTokens - at), at));
}

const trace = choose(TOKENS, 1);
console.log(`${trace.expertIndices.length} choices: ${TOKENS} tokens, ${LAYERS} layers, ${TOP_K} of ${EXPERTS}`);
console.log(`coactivation, all pairs: ${timed(() => coactivation(trace))}`);
console.log(`coactivation, adjacent ranks: ${timed(() => coactivation(trace, { pairs: "adjacentRank" }))}`);
console.log(`sketch (counts, both kinds of pairs, transitions): ${timed(() => sketch(trace))}`);
if (values.python !== undefined) compare(trace, values.python);
for (const tokens of [TOKENS / 4, TOKENS].map(Math.ceil)) {
  const before = process.memoryUsage().rss;
  const whole = mergeSketches(chunks(tokens));
  const grown = (process.memoryUsage().rss - before) / 1e6;
  console.log(
    `stream of ${whole.nTokens} tokens in chunks of ${CHUNK}: resident memory grew by ${grown.toFixed(1)} MB`,
  );
}
