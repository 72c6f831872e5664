import type { RoutingTrace } from "../trace/record.ts";
import { type Chance, inParts, type SimulationOptions, simulate } from "./chance.ts";
import { choices } from "./choices.ts";
import { oneOf } from "./oneOf.ts";
import { shuffle, type Uniform } from "./random.ts";

/**
 * Which expert makes room: the one used longest ago ("lru"), the one used least so far, of several the one used longest
 * ago ("lfu"), or the one needed again last, which knows the future and no policy can beat ("belady").
 */
export type CachePolicy = "lru" | "lfu" | "belady";

/** How often an expert of one layer is found in a cache. */
export interface CacheHitRate {
  /** The model's layer number. */
  layer: number;
  /** Hits per access, from an empty cache on. */
  value: number;
  chance: {
    /** Every token draws uniformly. */
    uniform: Chance;
    /** The layer's own tokens in random order: what is above it comes from locality and not from uneven load. */
    shuffled: Chance;
  };
}

export interface CacheHitRateOptions extends SimulationOptions {
  /** Experts that the cache of a layer holds. */
  capacity: number;
  policy?: CachePolicy;
}

/**
 * Hit rate of a cache of experts, one for each layer, that tokens ask in order, their slots from 0 on; whatever is
 * asked for is then in the cache. LRU and 20 draws unless told otherwise. NaN without tokens.
 * @formula accesses that find their expert in the cache / accesses
 * @chance uniform routing, simulated: a warm LRU cache of C ≥ k has Σ_s (C−s)/(E−s) / k, s = 0 … k−1; and the
 * layer's tokens in random order
 * @throws RangeError for a capacity that is not from 1 to n_experts
 * @see Belady 1966, "A study of replacement algorithms for a virtual-storage computer"
 * @example cacheHitRate(trace, { capacity: 8, policy: "belady" }).map(({ value }) => value)
 */
export function cacheHitRate(
  trace: RoutingTrace,
  { capacity, policy = "lru", draws = 20, ...simulation }: CacheHitRateOptions,
): CacheHitRate[] {
  oneOf("cacheHitRate", "policy", policy, ["lru", "lfu", "belady"]);
  const { nExperts, topK } = trace;
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > nExperts)
    throw new RangeError(
      `cacheHitRate: capacity must be a whole number from 1 to nExperts (${nExperts}), got ${capacity}`,
    );
  const byLayer = choices("cacheHitRate", trace);
  const options = inParts({ draws, ...simulation }, byLayer.length + 1);
  const rate = (experts: Uint16Array): { rate: number } => ({
    rate: hits(experts, nExperts, capacity, policy) / experts.length,
  });
  const accesses = trace.tokenIds.length * topK;
  const uniform = simulate(
    "simulated",
    (random) => rate(uniformChoices(accesses, topK, nExperts, random)),
    options(0),
  ).rate;
  return byLayer.map(({ layer, experts }, row) => {
    const order = Int32Array.from(trace.tokenIds, (_, t) => t);
    const shuffled = simulate(
      "shuffled",
      (random) => {
        shuffle(order, random);
        return rate(experts.map((_, i) => experts[order[Math.floor(i / topK)]! * topK + (i % topK)]!));
      },
      options(row + 1),
    ).rate;
    return { layer, value: rate(experts).rate, chance: { uniform, shuffled } };
  });
}

function hits(experts: Uint16Array, nExperts: number, capacity: number, policy: CachePolicy): number {
  const nextUse = policy === "belady" ? nextUses(experts, nExperts) : null;
  const uses = new Float64Array(nExperts);
  const worth = new Float64Array(nExperts); // whoever in the cache is worth least makes room
  const inside = new Uint8Array(nExperts);
  let [size, count] = [0, 0];
  for (let at = 0; at < experts.length; at++) {
    const expert = experts[at]!;
    if (inside[expert] === 1) count += 1;
    else {
      if (size === capacity) inside[leastWorth(inside, worth)] = 0;
      else size += 1;
      inside[expert] = 1;
    }
    uses[expert]! += 1;
    if (policy === "lru") worth[expert] = at;
    else if (policy === "lfu") worth[expert] = uses[expert]! + at / experts.length;
    else worth[expert] = -nextUse![at]!;
  }
  return count;
}

function leastWorth(inside: Uint8Array, worth: Float64Array): number {
  let least = -1;
  for (let e = 0; e < inside.length; e++) if (inside[e] === 1 && (least < 0 || worth[e]! < worth[least]!)) least = e;
  return least;
}

/** Where each access's expert is asked for next; beyond the end where never. */
function nextUses(experts: Uint16Array, nExperts: number): Float64Array {
  const next = new Float64Array(experts.length);
  const soonest = new Float64Array(nExperts).fill(experts.length);
  for (let at = experts.length - 1; at >= 0; at--) {
    next[at] = soonest[experts[at]!]!;
    soonest[experts[at]!] = at;
  }
  return next;
}

function uniformChoices(length: number, topK: number, nExperts: number, uniform: Uniform): Uint16Array {
  const all = Uint16Array.from({ length: nExperts }, (_, e) => e);
  const experts = new Uint16Array(length);
  for (let i = 0; i < length; i++) {
    const slot = i % topK;
    const other = slot + Math.floor(uniform() * (nExperts - slot));
    [all[slot], all[other]] = [all[other]!, all[slot]!];
    experts[i] = all[slot]!;
  }
  return experts;
}
