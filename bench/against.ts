/**
 * Times moescope against Hugging Face transformers (float32, eager attention) on the same seeded checkpoints of DBRX,
 * Mixtral, OLMoE and Qwen3-MoE at laptop size: `npx tsx bench/against.ts --python PYTHON [--shape d256] [--runs 10]
 * [--threads 2]`, where PYTHON has torch and transformers 5.18. Tensors are compared first; runs are interleaved; the
 * experts' products are computed in each of the ways that transformers has, and the ratios are to the fastest, with the
 * GEMM peak of the same run beside them.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import * as tf from "@tensorflow/tfjs";
import { loadModel } from "../lib/checkpoint/folder.ts";
import { openFolder } from "../lib/checkpoint/node.ts";
import { generate } from "../lib/generate.ts";
import type { MoeModel } from "../lib/model.ts";
import { hashUniform } from "../lib/random.ts";
import { flopsPerToken, gemmPeak, median, timed } from "./measure.ts";
import { Peer } from "./peer.ts";

interface Shape {
  name: string;
  sizes: string[];
  batch: number;
  pos: number;
}

const sizes = (d: number, layers: number, ff: number, vocab: number, heads: number, kv: number): string[] =>
  `--d-model ${d} --layers ${layers} --d-ff ${ff} --vocab ${vocab} --heads ${heads} --kv-heads ${kv}`.split(" ");
const experts = (family: string, n: number, topK: number): string[] =>
  `--family ${family} --experts ${n} --top-k ${topK}`.split(" ");

const SHAPES: Shape[] = [
  { name: "d256", sizes: sizes(256, 6, 256, 4096, 8, 2), batch: 4, pos: 512 },
  { name: "d512", sizes: sizes(512, 8, 512, 8192, 8, 2), batch: 2, pos: 512 },
  { name: "d1024", sizes: sizes(1024, 4, 1792, 16384, 16, 4), batch: 1, pos: 512 },
  { name: "mixtral", sizes: [...sizes(512, 4, 1792, 8192, 8, 2), ...experts("mixtral", 8, 2)], batch: 2, pos: 512 },
  { name: "olmoe", sizes: [...sizes(512, 4, 256, 8192, 8, 8), ...experts("olmoe", 64, 8)], batch: 2, pos: 512 },
  { name: "qwen3", sizes: [...sizes(512, 4, 192, 8192, 8, 2), ...experts("qwen3_moe", 128, 8)], batch: 2, pos: 512 },
];

/** How transformers can compute the experts' products on a CPU. */
const IMPLEMENTATIONS = ["eager", "grouped_mm", "batched_mm"];

/** A way that takes so many times the fastest's time for a text of so many tokens is not timed any more. */
const [FAR_SLOWER, SHORT] = [3, 128];

/** What level 3 of the peer captures: routing, attention, residuals. */
const CAPTURED = [
  "hook_embed",
  "blocks.*.hook_resid_post",
  "blocks.*.attn.hook_pattern",
  "blocks.*.mlp.hook_router_logits",
  "blocks.*.mlp.hook_expert_indices",
];

const { values } = parseArgs({
  options: {
    python: { type: "string", default: "python3" },
    folder: { type: "string", default: join(tmpdir(), "moescope-bench") },
    shape: { type: "string" },
    runs: { type: "string", default: "10" },
    threads: { type: "string", default: "2" },
  },
});
const RUNS = Number(values.runs);
const WARM_UP = 3;

function prefill(model: MoeModel, ids: number[][], names: readonly string[] | null): number {
  return timed(() => {
    if (names === null) {
      model.run(ids).dispose();
      return;
    }
    const { logits, cache } = model.runWithCache(ids, { names });
    logits.dispose();
    cache.dispose();
  });
}

/** Seconds of n decoding steps after the first token, greedy. */
async function decode(model: MoeModel, prompt: number[], n: number): Promise<{ seconds: number; ids: number[] }> {
  const ids: number[] = [];
  let start = 0;
  for await (const id of generate(model, prompt, { maxTokens: n + 1, temperature: 0 })) {
    if (ids.push(id) === 1) start = performance.now();
  }
  return { seconds: (performance.now() - start) / 1000, ids };
}

/** Largest relative difference of what both captured, and the share of tokens whose expert sets are the same. */
async function compare(model: MoeModel, peer: Peer, ids: number[][]): Promise<{ worst: number; sameExperts: number }> {
  const save = join(mkdtempSync(join(tmpdir(), "moescope-")), "peer.safetensors");
  await peer.ask({ cmd: "prefill", ids, capture: 3, save });
  const theirs = await openFolder(save);
  const { logits, cache } = model.runWithCache(ids, { names: [...CAPTURED, "logits"] });
  let worst = 0;
  let [same, rows] = [0, 0];
  for (const name of cache.names.filter((hook) => theirs.tensors.has(hook))) {
    const ours = cache.get(name);
    const actual = ours.dataSync();
    if (ours.dtype === "int32") {
      const expected = await theirs.readInt32(name);
      const k = ours.shape.at(-1)!;
      for (let r = 0; r < actual.length; r += k) {
        const set = new Set(actual.subarray(r, r + k));
        if (expected.subarray(r, r + k).every((e) => set.has(e))) same++;
        rows++;
      }
      continue;
    }
    const expected = await theirs.readFloat32(name);
    const scale = expected.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
    for (let i = 0; i < actual.length; i++) worst = Math.max(worst, Math.abs(actual[i]! - expected[i]!) / scale);
  }
  logits.dispose();
  cache.dispose();
  await theirs.close();
  return { worst, sameExperts: same / rows };
}

/** The ways of computing experts that are not far slower than the fastest on a short text; the others are told. */
async function worthwhile(peer: Peer, ids: number[][]): Promise<string[]> {
  const times: [way: string, seconds: number][] = [];
  const short = { cmd: "prefill", ids: [ids[0]!.slice(0, SHORT)], capture: 0 };
  for (const implementation of IMPLEMENTATIONS) {
    if (!(await peer.ask<{ set: boolean }>({ cmd: "experts", implementation })).set) continue;
    await peer.ask(short);
    const { seconds } = await peer.ask<{ seconds: number }>(short);
    times.push([implementation, seconds]);
  }
  const best = Math.min(...times.map(([, seconds]) => seconds));
  const slow = times.filter(([, seconds]) => seconds > FAR_SLOWER * best);
  for (const [way, seconds] of slow)
    console.log(
      `  transformers ${way}: ${(seconds / best).toFixed(1)} times the fastest's time, and left out from here on`,
    );
  return times.filter((time) => !slow.includes(time)).map(([way]) => way);
}

async function bench({ name, sizes: shape, batch, pos }: Shape): Promise<void> {
  const folder = join(values.folder, name);
  if (!existsSync(join(folder, "model.safetensors")))
    execFileSync(values.python, [join(import.meta.dirname, "peer.py"), "make", folder, ...shape]);
  const model = await loadModel(folder);
  const peer = new Peer(values.python, folder, Number(values.threads));
  const { dVocab } = model.config;
  const ids = Array.from({ length: batch }, (_, b) =>
    Array.from({ length: pos }, (_p, p) => Math.floor(hashUniform(b + 1, p) * dVocab)),
  );
  const { worst, sameExperts } = await compare(model, peer, ids);
  console.log(`\n${name}: batch ${batch} x ${pos} on ${tf.getBackend()}`);
  console.log(
    `  agreement: ${worst.toExponential(1)} relative, ${(100 * sameExperts).toFixed(3)} % the same expert sets`,
  );
  if (worst > 1e-3) throw new Error("no timing: the tensors disagree");

  const ways = await worthwhile(peer, ids);
  const levels = [
    { what: "capture nothing", names: null, capture: 0 },
    { what: "routing, attention, residuals", names: CAPTURED, capture: 3 },
    { what: "every hook", names: ["*"], capture: null },
  ];
  const ours: number[][] = levels.map(() => []);
  const theirs: Record<string, number[]>[] = levels.map(() => Object.fromEntries(ways.map((way) => [way, []])));
  for (let run = -WARM_UP; run < RUNS; run++)
    for (const [i, { names, capture }] of levels.entries()) {
      const mine = prefill(model, ids, names);
      if (run >= 0) ours[i]!.push(mine);
      if (capture === null) continue;
      for (const implementation of ways) {
        await peer.ask({ cmd: "experts", implementation });
        const { seconds } = await peer.ask<{ seconds: number }>({ cmd: "prefill", ids, capture });
        if (run >= 0) theirs[i]![implementation]!.push(seconds);
      }
    }
  const fastest = (of: Record<string, number[]>): [way: string, seconds: number] =>
    Object.entries(of)
      .map(([way, seconds]): [string, number] => [way, median(seconds)])
      .reduce((a, b) => (b[1] < a[1] ? b : a));
  const peak = gemmPeak();
  const { gflops } = await peer.ask<{ gflops: number }>({ cmd: "gemm", size: 2048 });
  const tokens = batch * pos;
  for (const [i, { what }] of levels.entries()) {
    const seconds = median(ours[i]!);
    const share = (flopsPerToken(model.config, pos) * tokens) / seconds / 1e9 / peak;
    const [best, slowest] = [Math.min(...ours[i]!), Math.max(...ours[i]!)].map((s) => Math.round(tokens / s));
    const others = Object.entries(theirs[i]!).map(([way, of]) => `${way} ${Math.round(tokens / median(of))}`);
    const against =
      levels[i]!.capture === null
        ? `x${(seconds / median(ours[0]!)).toFixed(2)} the time of capturing nothing`
        : `transformers ${others.join(", ")}, ratio ${(fastest(theirs[i]!)[1] / seconds).toFixed(2)}`;
    console.log(
      `  ${what.padEnd(30)} ${Math.round(tokens / seconds)} tokens/s (${slowest}–${best}), ${against}; ` +
        `${(100 * share).toFixed(0)} % of ${peak.toFixed(0)} GF/s`,
    );
  }
  console.log(`  GEMM peak: ours ${peak.toFixed(0)}, PyTorch ${gflops.toFixed(0)} GF/s`);

  // transformers decodes with the default of each family: grouped_mm where there is one.
  await peer.ask({ cmd: "experts", implementation: ways.includes("grouped_mm") ? "grouped_mm" : "eager" });
  const prompt = ids[0]!.slice(0, 32);
  const steps = { ours: [] as number[], theirs: [] as number[] };
  for (let run = -1; run < Math.ceil(RUNS / 2); run++) {
    const mine = await decode(model, prompt, 64);
    const other = await peer.ask<{ seconds: number; ids: number[] }>({ cmd: "decode", ids: [prompt], n: 64 });
    if (run < 0) {
      const same = mine.ids.every((id, at) => id === other.ids.flat()[at]);
      console.log(`  decode: ${same ? "the same tokens" : "other tokens"} as transformers`);
      continue;
    }
    steps.ours.push(mine.seconds);
    steps.theirs.push(other.seconds);
  }
  const [a, b] = [64 / median(steps.ours), 64 / median(steps.theirs)];
  console.log(`  decode, batch 1: ${a.toFixed(0)} tokens/s, transformers ${b.toFixed(0)}, ratio ${(a / b).toFixed(2)}`);
  peer.stop();
  model.dispose();
}

for (const shape of SHAPES) if (values.shape === undefined || values.shape === shape.name) await bench(shape);
