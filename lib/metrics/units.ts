import type { RoutingTrace } from "../trace/record.ts";
import type { Labels } from "./labels.ts";
import { oneOf } from "./oneOf.ts";
import type { Uniform } from "./random.ts";

/**
 * The units of a layer that carry one label each, and the assignments of each unit: unit u's are the cells from offsets[u]
 * to offsets[u + 1], `counts` to `experts`.
 */
export interface Units {
  /** Label of each unit: [n_units]. */
  group: Int32Array;
  offsets: Int32Array;
  experts: Uint16Array;
  counts: Uint32Array;
}

/**
 * Gathers the units of one layer: single tokens, or whole sequences.
 * @param experts the layer's choices: [n_tokens, top_k]
 * @throws RangeError for sequences that carry more than one label, or a label with fewer than two units
 */
export function unitsOf(where: string, trace: RoutingTrace, experts: Uint16Array, labels: Labels): Units {
  oneOf(where, "unit", labels.unit, ["sequence", "token"]);
  const units =
    labels.unit === "token" ? tokens(experts, trace.topK, labels.of) : sequences(where, trace, experts, labels);
  for (const [label, name] of labels.names.entries()) {
    const n = units.group.reduce((sum, of) => sum + Number(of === label), 0);
    if (n > 1) continue;
    const advice = labels.unit === "sequence" ? ' (or unit be "token", as if tokens of a text were independent)' : "";
    throw new RangeError(
      `${where}: each label must have at least two ${labels.unit}s${advice}, got ${n} for "${name}"`,
    );
  }
  return units;
}

function tokens(experts: Uint16Array, topK: number, of: Int32Array): Units {
  const offsets = Int32Array.from({ length: of.length + 1 }, (_, t) => t * topK);
  return { group: of, offsets, experts, counts: new Uint32Array(experts.length).fill(1) };
}

function sequences(where: string, trace: RoutingTrace, choices: Uint16Array, labels: Labels): Units {
  const { nExperts, topK, sequenceOffsets } = trace;
  const [group, offsets, experts, counts]: [number[], number[], number[], number[]] = [[], [0], [], []];
  for (let s = 0; s + 1 < sequenceOffsets.length; s++) {
    const [start, end] = [sequenceOffsets[s]!, sequenceOffsets[s + 1]!];
    if (start === end) continue;
    const label = labels.of[start]!;
    if (labels.of.subarray(start, end).some((of) => of !== label))
      throw new RangeError(`${where}: unit must be "token" for labels that change within a sequence, got "sequence"`);
    const load = new Uint32Array(nExperts);
    for (let i = start * topK; i < end * topK; i++) load[choices[i]!]! += 1;
    for (const [expert, n] of load.entries()) {
      if (n === 0) continue;
      experts.push(expert);
      counts.push(n);
    }
    group.push(label);
    offsets.push(experts.length);
  }
  return {
    group: Int32Array.from(group),
    offsets: Int32Array.from(offsets),
    experts: Uint16Array.from(experts),
    counts: Uint32Array.from(counts),
  };
}

/**
 * Assignments of each group to each expert: [n_groups][n_experts].
 * @param group the label that each unit is to carry: [n_units]
 * @param picked which units are counted, some perhaps twice; each once where absent
 */
export function groupCounts(
  { offsets, experts, counts }: Units,
  group: Int32Array,
  nGroups: number,
  nExperts: number,
  picked?: Int32Array,
): Float64Array[] {
  const sums = new Float64Array(nGroups * nExperts);
  for (let i = 0; i < group.length; i++) {
    const unit = picked === undefined ? i : picked[i]!;
    const row = group[unit]! * nExperts;
    for (let cell = offsets[unit]!; cell < offsets[unit + 1]!; cell++) sums[row + experts[cell]!]! += counts[cell]!;
  }
  return Array.from({ length: nGroups }, (_, g) => sums.subarray(g * nExperts, (g + 1) * nExperts));
}

/**
 * A way to draw as many units of each group as it has, with replacement: [n_units].
 * @returns a function that draws anew each time into the same array
 */
export function resampler({ group }: Units, nGroups: number): (uniform: Uniform) => Int32Array {
  const byGroup = Int32Array.from(group, (_, unit) => unit).sort((a, b) => group[a]! - group[b]! || a - b);
  const starts = Int32Array.from({ length: nGroups + 1 }, (_, g) => {
    const at = byGroup.findIndex((unit) => group[unit]! >= g);
    return at < 0 ? byGroup.length : at;
  });
  const picked = new Int32Array(group.length);
  return (uniform) => {
    for (let g = 0; g < nGroups; g++) {
      const [start, end] = [starts[g]!, starts[g + 1]!];
      for (let i = start; i < end; i++) picked[i] = byGroup[start + Math.floor(uniform() * (end - start))]!;
    }
    return picked;
  };
}
