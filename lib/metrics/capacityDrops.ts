import type { RoutingTrace } from "../trace/record.ts";
import { type Measure, type SimulationOptions, simulate, withMean } from "./chance.ts";
import { choices } from "./choices.ts";
import { oneOf } from "./oneOf.ts";
import { addUniformCounts } from "./uniformRouting.ts";

/**
 * Who comes first to an expert: all choices of the first token, then of the second, and so on ("token"); or all first
 * choices by position, then all second choices ("rank", as in GShard), which needs the rank order.
 */
export type DropOrder = "token" | "rank";

/** What one layer would drop if its experts had a limited capacity. */
export interface CapacityDrops {
  /** The model's layer number. */
  layer: number;
  /** Dropped assignments, a part of all. */
  dropped: Measure;
  /** The same by position in the sequence: [longest sequence]. */
  byPosition: Float64Array;
  /** byPosition under uniform routing, exact, in "token" order; null in "rank" order. */
  chanceByPosition: Float64Array | null;
  /** The same by slot: [top_k]. */
  bySlot: Float64Array;
}

export interface CapacityOptions extends SimulationOptions {
  /** Capacity of an expert over its even share of a sequence's assignments. */
  capacityFactor: number;
  order?: DropOrder;
}

/**
 * Simulates a router with capacity, ceil(capacityFactor · k · n / E) assignments for each expert and sequence of n
 * tokens: an assignment to a full expert is dropped. DBRX, Mixtral and OLMoE drop nothing; their loads show what they
 * would. "token" order and 200 draws unless told otherwise. NaN without tokens.
 * @formula Σ_e max(0, n_e − ceil(f k n / E)) / (k n), summed over sequences of n tokens
 * @chance uniform routing drops an assignment at position t with P(binomial(t, k/E) ≥ capacity), exactly; bounds
 * simulated
 * @throws RangeError for a capacity factor that is not above 0, or ranks of a trace that does not keep their order
 * @see Lepikhin et al. 2020, arXiv:2006.16668, algorithm 1; Fedus et al. 2021, arXiv:2101.03961, eq. 3; Xue et al. 2024,
 * arXiv:2402.01739 (drop towards the end)
 * @example capacityDrops(trace, { capacityFactor: 1.25 })[0].byPosition
 */
export function capacityDrops(
  trace: RoutingTrace,
  { capacityFactor, order = "token", draws = 200, ...simulation }: CapacityOptions,
): CapacityDrops[] {
  if (!(capacityFactor > 0 && capacityFactor < Infinity))
    throw new RangeError(`capacityDrops: capacityFactor must be a number above 0, got ${capacityFactor}`);
  oneOf("capacityDrops", "order", order, ["token", "rank"]);
  const byLayer = choices("capacityDrops", trace, ...(order === "rank" ? (["rankOrder"] as const) : []));
  const { nExperts, topK, sequenceOffsets } = trace;
  const sequences = Array.from({ length: sequenceOffsets.length - 1 }, (_, s) => {
    const [start, end] = [sequenceOffsets[s]!, sequenceOffsets[s + 1]!];
    return { start, n: end - start, capacity: Math.ceil((capacityFactor * topK * (end - start)) / nExperts) };
  });
  const assignments = trace.tokenIds.length * topK;
  const simulated = simulate(
    "simulated",
    (uniform) => ({
      dropped: sequences.reduce((sum, s) => sum + uniformDrops(s, nExperts, topK, uniform), 0) / assignments,
    }),
    { draws, ...simulation },
  ).dropped;
  const expected = expectedDrops(sequences, topK / nExperts);
  const chance = withMean(simulated, (expected.total * topK) / assignments);
  return byLayer.map(({ layer, experts }) => {
    const { byPosition, bySlot } = drop(experts, sequences, order, nExperts, topK);
    return {
      layer,
      dropped: { value: bySlot.reduce((sum, n) => sum + n, 0) / assignments, chance },
      byPosition: byPosition.map((n, t) => n / (expected.sequencesAt[t]! * topK)),
      chanceByPosition: order === "token" ? expected.byPosition : null,
      bySlot: bySlot.map((n) => n / trace.tokenIds.length),
    };
  });
}

interface Limited {
  start: number;
  n: number;
  capacity: number;
}

function drop(
  experts: Uint16Array,
  sequences: readonly Limited[],
  order: DropOrder,
  nExperts: number,
  topK: number,
): { byPosition: Float64Array; bySlot: Float64Array } {
  const byPosition = new Float64Array(longest(sequences));
  const bySlot = new Float64Array(topK);
  for (const { start, n, capacity } of sequences) {
    const load = new Uint32Array(nExperts);
    for (let turn = 0; turn < n * topK; turn++) {
      const [t, slot] = order === "token" ? [Math.floor(turn / topK), turn % topK] : [turn % n, Math.floor(turn / n)];
      const expert = experts[(start + t) * topK + slot]!;
      if (load[expert]! < capacity) load[expert]! += 1;
      else {
        byPosition[t]! += 1;
        bySlot[slot]! += 1;
      }
    }
  }
  return { byPosition, bySlot };
}

function longest(sequences: readonly Limited[]): number {
  return sequences.reduce((most, { n }) => Math.max(most, n), 0);
}

function uniformDrops({ n, capacity }: Limited, nExperts: number, topK: number, uniform: () => number): number {
  const counts = new Float64Array(nExperts);
  addUniformCounts(counts, n, topK, uniform);
  return counts.reduce((sum, count) => sum + Math.max(0, count - capacity), 0);
}

/** Expected drops of one slot: in all, by position, and how many sequences reach each position. */
function expectedDrops(
  sequences: readonly Limited[],
  part: number,
): { total: number; byPosition: Float64Array; sequencesAt: Float64Array } {
  const byPosition = new Float64Array(longest(sequences));
  const sequencesAt = new Float64Array(byPosition.length);
  let total = 0;
  for (const { n, capacity } of sequences) {
    const load = new Float64Array(capacity + 1); // how likely an expert holds 0 … capacity
    load[0] = 1;
    for (let t = 0; t < n; t++) {
      byPosition[t]! += load[capacity]!;
      sequencesAt[t]! += 1;
      total += load[capacity]!;
      for (let held = Math.min(capacity, t + 1); held > 0; held--)
        load[held] = load[held]! * (held === capacity ? 1 : 1 - part) + load[held - 1]! * part;
      load[0] *= 1 - part;
    }
  }
  return { total, byPosition: byPosition.map((p, t) => p / sequencesAt[t]!), sequencesAt };
}
