import type { RoutingTrace } from "../trace/record.ts";
import { countExperts } from "./countExperts.ts";

/**
 * How much oftener each expert of a layer is chosen in one text than in another, as a share of tokens: [n_experts].
 * @formula rate(A, e) − rate(B, e), the rate being an expert's tokens over all tokens
 * @chance 0; for unrelated tokens about ±1.96 √(q (1 − q) (1/T_A + 1/T_B)) with the common rate q, but tokens of a
 * text are related
 * @throws RangeError for a layer that a trace does not hold, or traces of different routers
 * @see arXiv:2509.09660 (SteerMoE, risk difference)
 * @example activationRateDifference(trace, early, trace.layers[0])
 */
export function activationRateDifference(a: RoutingTrace, b: RoutingTrace, layer: number): Float64Array {
  for (const key of ["nExperts", "topK"] as const)
    if (a[key] !== b[key])
      throw new RangeError(`activationRateDifference: ${key} must be ${a[key]} in both traces, got ${b[key]}`);
  const [ratesA, ratesB] = [activationRates(a, layer), activationRates(b, layer)];
  return ratesA.map((rate, e) => rate - ratesB[e]!);
}

function activationRates(trace: RoutingTrace, layer: number): Float64Array {
  const { layers, nExperts, tokenIds } = trace;
  const row = layers.indexOf(layer);
  if (row < 0)
    throw new RangeError(`activationRateDifference: layer must be one of ${layers.join(", ")}, got ${layer}`);
  const counts = countExperts(trace, "activationRateDifference").subarray(row * nExperts, (row + 1) * nExperts);
  return Float64Array.from(counts, (n) => n / tokenIds.length);
}
