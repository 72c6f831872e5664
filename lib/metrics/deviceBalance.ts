import type { RoutingTrace } from "../trace/record.ts";
import { type Chance, type Measure, type SimulationOptions, simulate } from "./chance.ts";
import { countExperts } from "./countExperts.ts";
import type { Sketch } from "./sketch.ts";
import { addUniformCounts } from "./uniformRouting.ts";

/** How evenly a placement of experts on devices loads the devices. */
export interface DeviceBalance {
  nDevices: number;
  /** One entry for each layer: the model's layer number, assignments of each device, and the fullest over the mean. */
  layers: { layer: number; load: Float64Array; maxOverMean: Measure }[];
  /** SGLang's balancedness: mean over layers of (mean + 10⁻⁵) / (max + 10⁻⁵); 1 is even. */
  sglang: Measure;
  /** vLLM's as its comment says: Σ over layers of the mean / Σ of the maximum over devices. */
  vllm: Measure;
  /** vLLM's as some versions of its code compute it: the sums run over devices, mean and maximum over layers. */
  vllmOverLayers: Measure;
}

export interface DeviceBalanceOptions extends SimulationOptions {
  /** The device, 0 … n_devices − 1, of each expert, the same in every layer or layer by layer: [n_experts], or [n_layers][n_experts]. */
  placement: readonly number[] | readonly (readonly number[])[];
}

/**
 * Balance of devices for a placement of experts. 200 draws unless told otherwise. NaN without tokens, but SGLang's 1.
 * @formula max_d n_d / mean_d n_d of each layer; all layers: mean of mean/max (SGLang), Σ mean / Σ max (vLLM)
 * @chance uniform routing on the same placement, simulated; uneven where devices hold different numbers of experts
 * @param source a trace, or as much of the sketch of one as counts experts
 * @throws RangeError for a placement of other experts
 * @see SGLang, python/sglang/srt/eplb/expert_distribution.py; vLLM, vllm/distributed/eplb/eplb_state.py
 * @example deviceBalance(trace, { placement: Array.from({ length: trace.nExperts }, (_, e) => e % 4) }).sglang
 */
export function deviceBalance(
  source: RoutingTrace | Pick<Sketch, "nExperts" | "topK" | "layers" | "nTokens" | "counts">,
  { placement, draws = 200, ...simulation }: DeviceBalanceOptions,
): DeviceBalance {
  const { nExperts, topK, layers } = source;
  const traced = "expertIndices" in source;
  const counts = traced ? countExperts(source, "deviceBalance") : source.counts;
  const nTokens = traced ? source.tokenIds.length : source.nTokens;
  const deviceOf = layers.map((_, row) => {
    const one = placement[row];
    return typeof one === "object" ? one : (placement as readonly number[]);
  });
  const nDevices = checkPlacement(deviceOf, placement, nExperts);
  const loads = layers.map((_, row) =>
    loadOf(counts.subarray(row * nExperts, (row + 1) * nExperts), deviceOf[row]!, nDevices),
  );
  const value = balance(loads);
  const chance = simulate(
    "simulated",
    (uniform) =>
      balance(
        deviceOf.map((devices) => {
          const random = new Float64Array(nExperts);
          addUniformCounts(random, nTokens, topK, uniform);
          return loadOf(random, devices, nDevices);
        }),
      ),
    { draws, ...simulation },
  );
  const measure = (name: string): Measure => ({ value: value[name]!, chance: chance[name] as Chance });
  return {
    nDevices,
    layers: layers.map((layer, row) => ({ layer, load: loads[row]!, maxOverMean: measure(`layer ${row}`) })),
    sglang: measure("sglang"),
    vllm: measure("vllm"),
    vllmOverLayers: measure("vllmOverLayers"),
  };
}

function balance(loads: readonly Float64Array[]): Record<string, number> {
  let [ratios, means, mosts] = [0, 0, 0];
  const byLayer = loads.map((load, row): [string, number] => {
    const mean = load.reduce((sum, n) => sum + n, 0) / load.length;
    const most = load.reduce((a, b) => Math.max(a, b));
    ratios += (mean + 1e-5) / (most + 1e-5) / loads.length;
    means += mean;
    mosts += most;
    return [`layer ${row}`, most / mean];
  });
  const mostInLayers = loads[0]!.reduce((sum, _, device) => sum + Math.max(...loads.map((load) => load[device]!)), 0);
  const allOverLayers = loads.reduce((sum, load) => sum + load.reduce((a, b) => a + b, 0), 0) / loads.length;
  return {
    ...Object.fromEntries(byLayer),
    sglang: ratios,
    vllm: means / mosts,
    vllmOverLayers: allOverLayers / mostInLayers,
  };
}

function loadOf(counts: Float64Array | Uint32Array, deviceOf: readonly number[], nDevices: number): Float64Array {
  const load = new Float64Array(nDevices);
  for (const [expert, device] of deviceOf.entries()) load[device]! += counts[expert]!;
  return load;
}

/** @returns the number of devices */
function checkPlacement(
  deviceOf: readonly (readonly number[])[],
  placement: readonly unknown[],
  nExperts: number,
): number {
  if (typeof placement[0] === "object" && placement.length !== deviceOf.length)
    throw new RangeError(
      `deviceBalance: placement must have a row for each layer (${deviceOf.length}), got ${placement.length}`,
    );
  let most = 0;
  for (const devices of deviceOf) {
    if (devices.length !== nExperts)
      throw new RangeError(
        `deviceBalance: placement must name a device for each expert (${nExperts}), got ${devices.length}`,
      );
    for (const device of devices) {
      if (!Number.isInteger(device) || device < 0 || device >= nExperts)
        throw new RangeError(`deviceBalance: a device must be a whole number from 0 to ${nExperts - 1}, got ${device}`);
      most = Math.max(most, device);
    }
  }
  return most + 1;
}
