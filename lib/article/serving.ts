import type { ModelConfig } from "../config.ts";
import { parameterCounts } from "../params.ts";
import { type Cost, decodePass, kvCacheBytes, type Pass, passCosts, prefillPass } from "./passCosts.ts";

/** A machine of several accelerators that hold a model together, each a part of every matrix (tensor parallelism). */
export interface ServingNode {
  name: string;
  accelerators: number;
  /** Peak of one accelerator: FLOPs a second in 16 bits without sparsity, bytes a second from memory. */
  flops: number;
  bandwidth: number;
  /** Bytes a second that one accelerator sends to others. */
  link: number;
  /** Bytes of memory of one accelerator. */
  memory: number;
  source: string;
}

/** The node of the serving article: eight H100, 16 bits. */
export const H100_NODE: ServingNode = {
  name: "8 x H100 SXM",
  accelerators: 8,
  flops: 989.4e12,
  bandwidth: 3.35e12,
  link: 450e9,
  memory: 80e9,
  source: "NVIDIA H100 datasheet: BF16 without sparsity, HBM3, NVLink 900 GB/s of which half is each direction",
};

/** What each user asks for, one request after another. */
export interface Workload {
  prompt: number;
  output: number;
}

/** The workload of the DBRX announcement's inference figure. */
export const ARTICLE_WORKLOAD: Workload = { prompt: 2000, output: 256 };

export interface ServingSpeed {
  users: number;
  /** Output tokens a second: one user's, and all users' together. */
  perUser: number;
  total: number;
  /** Seconds for a prompt, and for one more token of every user. */
  prefill: number;
  decode: number;
  /** What most of a decoding step waits for. */
  bound: "memory" | "compute" | "link";
  /** Weights and all users' keys and values fit into the node's memory. */
  fits: boolean;
}

interface Seconds {
  memory: number;
  compute: number;
  link: number;
}

/** Each part of a pass takes as long as its arithmetic or its traffic, whichever is longer; then parts are summed up. */
function secondsOf(config: ModelConfig, node: ServingNode, pass: Pass): Seconds {
  const { shared, experts, attention } = passCosts(config, pass);
  const seconds: Seconds = { memory: 0, compute: 0, link: linkSeconds(config, node, pass) };
  for (const { flops, bytes } of [shared, experts, attention] satisfies Cost[]) {
    const compute = flops / (node.accelerators * node.flops);
    const memory = bytes / (node.accelerators * node.bandwidth);
    if (compute > memory) seconds.compute += compute;
    else seconds.memory += memory;
  }
  return seconds;
}

/** Two sums over all accelerators a layer, of each token's residual stream in 16 bits, in a ring. */
function linkSeconds({ nLayers, dModel }: ModelConfig, { accelerators, link }: ServingNode, { tokens }: Pass): number {
  return (2 * nLayers * 2 * ((accelerators - 1) / accelerators) * tokens * dModel * 2) / link;
}

const sumOf = ({ memory, compute, link }: Seconds): number => memory + compute + link;

/**
 * How fast a node serves a model to some users at once, by roofline terms alone: no kernel, scheduler or network is as good,
 * so these are bounds, and ratios of two models are better than either. Every user sends the next request when the last one
 * has ended; a prompt is run by itself while the others wait, so in the time of one request each user's prompt runs once.
 * @throws RangeError for users that are not a positive number
 * @see the methodology in databricks/dbrx#9: TensorRT-LLM, 16 bits, tensor parallelism over the node
 * @example servingSpeed(DBRX, 1).perUser // tokens a second
 */
export function servingSpeed(
  config: ModelConfig,
  users: number,
  { prompt, output }: Workload = ARTICLE_WORKLOAD,
  node: ServingNode = H100_NODE,
): ServingSpeed {
  if (!(users > 0)) throw new RangeError(`servingSpeed: users must be a positive number, got ${users}`);
  const prefill = sumOf(secondsOf(config, node, prefillPass(prompt)));
  const step = secondsOf(config, node, decodePass(users, prompt + output / 2));
  const decode = sumOf(step);
  const perUser = output / (users * prefill + output * decode);
  const held = 2 * parameterCounts(config).total + kvCacheBytes(config, users * (prompt + output));
  const bounds = Object.entries(step) as [keyof Seconds, number][];
  return {
    users,
    perUser,
    total: users * perUser,
    prefill,
    decode,
    bound: bounds.reduce((a, b) => (b[1] > a[1] ? b : a))[0],
    fits: held <= node.accelerators * node.memory,
  };
}

/** More users than any node serves at once. */
const MOST_USERS = 2 ** 20;

/**
 * Users at whom a token of each takes this many seconds, not a whole number; NaN where even one user's takes longer.
 * @example servingSpeed(DBRX, usersAtLatency(DBRX, 0.1)).total // all users' tokens a second at 100 ms a token
 */
export function usersAtLatency(
  config: ModelConfig,
  secondsPerToken: number,
  workload?: Workload,
  node?: ServingNode,
): number {
  const late = (users: number): boolean => 1 / servingSpeed(config, users, workload, node).perUser > secondsPerToken;
  if (late(1)) return Number.NaN;
  let [low, high] = [1, MOST_USERS];
  for (let i = 0; i < 60; i++) {
    const middle = (low + high) / 2;
    if (late(middle)) high = middle;
    else low = middle;
  }
  return low;
}
