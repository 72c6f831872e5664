/**
 * Runs a model of true width that does not fit into memory, by streaming: writes a checkpoint of some layers with random
 * weights, sharded as the original is, captures a text of 256 tokens, and reports memory, rates and what the whole model
 * would take by them: `npx tsx bench/stream.ts [--shape dbrx|mixtral|small] [--layers 1] [--budget 2e9] [--folder F]`.
 * The files are dropped from the page cache before each run (`dd` with `nocache`), so that the disk is what is measured;
 * `--cached` leaves them there. The folder is removed afterwards unless `--keep` is given; with `--folder` it is used again,
 * and one that was there before stays. Disk: `--help` says how much each takes.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statfsSync } from "node:fs";
import { mkdir, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual, parseArgs } from "node:util";
import * as tf from "@tensorflow/tfjs";
import { toBF16 } from "../lib/checkpoint/dtype.ts";
import { loadModel, readConfig } from "../lib/checkpoint/folder.ts";
import { fileSource } from "../lib/checkpoint/node.ts";
import { ReadAhead } from "../lib/checkpoint/readAhead.ts";
import type { ModelConfig } from "../lib/config.ts";
import { familyOf, parseConfig } from "../lib/families/index.ts";
import { parameterCounts, paramShapes } from "../lib/params.ts";
import { hashUniform } from "../lib/random.ts";
import { flopsPerToken, gemmPeak } from "./measure.ts";

const DBRX = {
  model_type: "dbrx",
  d_model: 6144,
  n_heads: 48,
  n_layers: 40,
  max_seq_len: 32768,
  vocab_size: 100352,
  attn_config: { kv_n_heads: 8, clip_qkv: 8, rope_theta: 500000 },
  ffn_config: { ffn_hidden_size: 10752, moe_num_experts: 16, moe_top_k: 4 },
};
const MIXTRAL = {
  model_type: "mixtral",
  hidden_size: 4096,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 32000,
  max_position_embeddings: 32768,
  rms_norm_eps: 1e-5,
  rope_theta: 1e6,
  num_local_experts: 8,
  num_experts_per_tok: 2,
  intermediate_size: 14336,
  hidden_act: "silu",
};
const SHAPES: Record<string, Record<string, unknown>> = {
  dbrx: DBRX,
  mixtral: MIXTRAL,
  small: {
    ...DBRX,
    d_model: 192,
    n_layers: 8,
    n_heads: 6,
    vocab_size: 1000,
    attn_config: { ...DBRX.attn_config, kv_n_heads: 2 },
    ffn_config: { ...DBRX.ffn_config, ffn_hidden_size: 336 },
  },
};

const { values: options } = parseArgs({
  options: {
    shape: { type: "string", default: "dbrx" },
    layers: { type: "string", default: "1" },
    budget: { type: "string", default: "2e9" },
    tokens: { type: "string", default: "256" },
    runs: { type: "string", default: "1" },
    folder: { type: "string" },
    cached: { type: "boolean", default: false },
    keep: { type: "boolean", default: false },
    help: { type: "boolean", default: false },
  },
});
const TOKENS = Number(options.tokens);

/** As transformers cut the published checkpoints. */
const SHARD_BYTES = 5e9;

/** Numbers of the random sequence that every tensor takes a stretch of, and begins elsewhere in. */
const SEQUENCE = options.shape === "small" ? 65_521 : 4_194_301;

const gigabytes = (bytes: number): string => `${(bytes / 1e9).toFixed(2)} GB`;

/** Normal numbers (Box and Muller's pairs) of a variance that a fan-in keeps at 1, as bfloat16; ones for a gain. */
function scaledNormals(): (fanIn: number | null) => Uint16Array {
  const normals = new Float32Array(SEQUENCE);
  for (let i = 0; i < SEQUENCE; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - hashUniform(1, 2 * i)));
    normals[i] = radius * Math.cos(2 * Math.PI * hashUniform(1, 2 * i + 1));
  }
  const made = new Map<number | null, Uint16Array>();
  return (fanIn) => {
    const numbers = made.get(fanIn) ?? toBF16(normals.map((value) => (fanIn === null ? 1 : value / Math.sqrt(fanIn))));
    made.set(fanIn, numbers);
    return numbers;
  };
}

interface Stored {
  tensor: string;
  shape: readonly number[];
  /** The numbers that one output sums up: weights are as large as keeps a variance of 1. */
  fanIn: number | null;
}

/** The tensors of a checkpoint, in the order of the parameters. */
function tensorsOf(config: ModelConfig): Stored[] {
  const family = familyOf(config.family);
  const stored = new Map<string, Stored>();
  for (const [name, shape] of paramShapes(config))
    for (const { tensor, shape: inFile } of family.recipe(name, config).parts) {
      const fanIn = shape.length === 1 ? null : name === "embed.W_E" ? 1 : shape.at(-2)!;
      stored.set(tensor, { tensor, shape: inFile, fanIn });
    }
  return [...stored.values()];
}

const bytesOf = ({ shape }: Stored): number => 2 * shape.reduce((a, b) => a * b, 1);

async function writeCheckpoint(folder: string, json: Record<string, unknown>): Promise<void> {
  const tensors = tensorsOf(parseConfig(json));
  const total = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = statfsSync(folder);
  if (total > 0.9 * bavail * bsize)
    throw new Error(`bench: the disk must have ${gigabytes(total)} free, got ${gigabytes(bavail * bsize)}`);
  const shards: Stored[][] = [[]];
  for (const tensor of tensors) {
    const last = shards.at(-1)!;
    if (last.length > 0 && [...last, tensor].reduce((sum, one) => sum + bytesOf(one), 0) > SHARD_BYTES)
      shards.push([tensor]);
    else last.push(tensor);
  }
  const numbers = scaledNormals();
  const map: Record<string, string> = {};
  for (const [i, shard] of shards.entries()) {
    const number = (n: number): string => String(n).padStart(5, "0");
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    for (const { tensor } of shard) map[tensor] = file;
    await writeShard(join(folder, file), shard, numbers);
  }
  await writeFile(join(folder, "config.json"), JSON.stringify(json, null, 2));
  await writeFile(join(folder, "model.safetensors.index.json"), JSON.stringify({ weight_map: map }));
}

/** One tensor after the other, in pieces: nothing of a true width is ever whole in memory. */
async function writeShard(
  path: string,
  shard: readonly Stored[],
  numbersFor: (fanIn: number | null) => Uint16Array,
): Promise<void> {
  let end = 0;
  const entries = shard.map((stored) => {
    const start = end;
    end += bytesOf(stored);
    return [stored.tensor, { dtype: "BF16", shape: stored.shape, data_offsets: [start, end] }] as const;
  });
  const text = JSON.stringify(Object.fromEntries(entries));
  const header = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const handle = await open(path, "w");
  await handle.write(Buffer.concat([length, header]));
  for (const [i, stored] of shard.entries()) {
    const numbers = numbersFor(stored.fanIn);
    let from = Math.floor(hashUniform(stored.shape[0]!, i + end) * SEQUENCE);
    for (let left = bytesOf(stored) / 2; left > 0; from = 0) {
      const count = Math.min(left, SEQUENCE - from);
      await handle.write(new Uint8Array(numbers.buffer, 2 * from, 2 * count));
      left -= count;
    }
  }
  await handle.sync();
  await handle.close();
}

/** Lets the page cache go of a file. */
function dropFromCache(path: string): void {
  const { status, stderr } = spawnSync("dd", [`if=${path}`, "iflag=nocache", "count=0"]);
  if (status !== 0) throw new Error(`bench: dd must drop ${path} from the cache, got ${String(stderr)}`);
}

/** Bytes a second from the disk, of a file that is not in the page cache, read as weights are. */
async function diskRate(folder: string, size: number): Promise<number> {
  const path = join(folder, "rate.bin");
  const handle = await open(path, "w");
  const piece = Buffer.alloc(1 << 24, 0x5a);
  for (let written = 0; written < size; written += piece.length) await handle.write(piece);
  await handle.sync();
  await handle.close();
  dropFromCache(path);
  const source = await fileSource(path);
  const readAhead = new ReadAhead(3 * 2 ** 27);
  const length = 1 << 27;
  const ranges = Array.from({ length: Math.floor(size / length) }, (_, i) => ({
    file: source.file!,
    start: i * length,
    end: (i + 1) * length,
  }));
  const start = performance.now();
  readAhead.expect(ranges);
  for (const range of ranges) readAhead.take(range);
  const seconds = (performance.now() - start) / 1000;
  await readAhead.close();
  await source.close();
  await rm(path);
  return readAhead.bytesRead / seconds;
}

/** Most memory that the process has taken, in bytes. */
function peakMemory(): number {
  return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))![1]);
}

/** The config.json of so many layers of a shape. */
function jsonOf(shape: string, layers: number): Record<string, unknown> {
  return { ...SHAPES[shape], [shape === "mixtral" ? "num_hidden_layers" : "n_layers"]: layers };
}

function bytesOnDisk(json: Record<string, unknown>): number {
  return 2 * parameterCounts(parseConfig(json)).total;
}

/** The file whose rate is measured is written beside the weights. */
const MOST_RATE_BYTES = 2 ** 31;

if (options.help) {
  console.log(`options: --${Object.keys(options).join(" --")}`);
  for (const shape of Object.keys(SHAPES))
    for (const layers of [1, 2])
      console.log(
        `--shape ${shape} --layers ${layers}: ${gigabytes(bytesOnDisk(jsonOf(shape, layers)))} of weights, and up to ${gigabytes(MOST_RATE_BYTES)} to measure the disk`,
      );
  process.exit(0);
}
const published = SHAPES[options.shape];
if (published === undefined) throw new Error(`bench: --shape must be one of ${Object.keys(SHAPES).join(", ")}`);
const own = options.folder === undefined || !existsSync(options.folder);
const folder = options.folder ?? mkdtempSync(join(tmpdir(), "moescope-stream-"));
try {
  const started = performance.now();
  const json = jsonOf(options.shape, Number(options.layers));
  const there = existsSync(join(folder, "model.safetensors.index.json"));
  if (!there) await writeCheckpoint(folder, json);
  const wrote = (performance.now() - started) / 1000;
  const config = await readConfig(folder);
  if (there && !isDeepStrictEqual(config, parseConfig(json)))
    throw new Error(`bench: ${folder} must hold a ${options.shape} of ${options.layers} layer(s), got another model`);
  const bytes = bytesOnDisk(json);
  console.log(
    `${options.shape}, ${options.layers} layer(s): ${gigabytes(bytes)} ${there ? "found" : `written in ${wrote.toFixed(0)} s`}`,
  );
  const whole = parseConfig(published);
  const rate = options.cached ? null : await diskRate(folder, Math.min(MOST_RATE_BYTES, Math.max(2 ** 27, bytes)));
  if (rate !== null) console.log(`disk: ${gigabytes(rate)}/s, read as weights are, from a file of its own`);

  const times: { block: number; at: number }[] = [];
  const budget = Number(options.budget);
  const model = await loadModel(folder, {
    memoryBudget: budget,
    onProgress: (block) => {
      if (times.at(-1)?.block !== block) times.push({ block, at: performance.now() });
    },
  });
  if (model.streamed === null) throw new Error("bench: the budget must be smaller than the model");
  const last = { read: 0, flops: 0 };
  const ids = Array.from({ length: TOKENS }, (_, i) => Math.floor(hashUniform(7, i) * config.dVocab));
  for (let run = 0; run < Number(options.runs); run++) {
    if (!options.cached)
      for (const file of new Set(
        Object.values(
          JSON.parse(readFileSync(join(folder, "model.safetensors.index.json"), "utf8")).weight_map as Record<
            string,
            string
          >,
        ),
      ))
        dropFromCache(join(folder, file));
    times.length = 0;
    const before = model.streamed.bytesRead;
    const start = performance.now();
    const { logits, cache } = model.runWithCache(ids, {
      names: [
        "blocks.*.hook_resid_post",
        "blocks.*.attn.hook_pattern",
        "blocks.*.mlp.hook_router_*",
        "blocks.*.mlp.hook_expert_*",
      ],
    });
    const finite = Number.isFinite(logits.sum().dataSync()[0]!);
    const seconds = (performance.now() - start) / 1000;
    const read = model.streamed.bytesRead - before;
    if (!finite) throw new Error("bench: the logits must be finite");
    const captured = cache.bytes;
    cache.dispose();
    logits.dispose();
    const flops = flopsPerToken(config, TOKENS) * TOKENS;
    Object.assign(last, { read: read / seconds, flops: flops / seconds / 1e9 });
    const blocks = times.filter(({ block }) => block < config.nLayers);
    const after = times.find(({ block }) => block === config.nLayers)?.at ?? start + 1000 * seconds;
    const perLayer = (after - blocks[0]!.at) / 1000 / config.nLayers;
    const rest = seconds - perLayer * config.nLayers;
    console.log(
      `run ${run + 1}: ${TOKENS} tokens in ${seconds.toFixed(1)} s, ${gigabytes(captured)} captured; read ${gigabytes(read)}, ` +
        `${gigabytes(read / seconds)}/s; ${(flops / seconds / 1e9).toFixed(1)} GFLOP/s`,
    );
    const all = perLayer * whole.nLayers + rest;
    console.log(
      `  a layer ${perLayer.toFixed(1)} s, embedding and unembedding ${rest.toFixed(1)} s: all ${whole.nLayers} layers ` +
        `(${gigabytes(2 * parameterCounts(whole).total)}) would take ${all.toFixed(0)} s`,
    );
  }
  console.log(
    `most memory that the process took: ${gigabytes(peakMemory())} of resident memory, for a budget of ${gigabytes(budget)}`,
  );
  const peak = gemmPeak();
  console.log(`GEMM peak of this run, 2048 x 2048 x 2048 on ${tf.getBackend()}: ${peak.toFixed(0)} GFLOP/s`);
  const share = (part: number, of: number): string => `${((100 * part) / of).toFixed(0)} %`;
  console.log(
    `the last run computed at ${share(last.flops, peak)} of that peak` +
      (rate === null ? "" : `, and read at ${share(last.read, rate)} of the disk's rate`),
  );
  model.dispose();
} finally {
  if (own && !options.keep) rmSync(folder, { recursive: true, force: true });
}
