import type { RoutingTrace } from "../trace/record.ts";

/**
 * How much oftener each expert of a layer is chosen in one text than in another, as a share of tokens: [n_experts].
 * @throws RangeError for a layer that a trace does not hold
 */
export function activationRateDifference(a: RoutingTrace, b: RoutingTrace, layer: number): Float64Array {
  const [ratesA, ratesB] = [activationRates(a, layer), activationRates(b, layer)];
  return ratesA.map((rate, e) => rate - ratesB[e]!);
}

function activationRates(
  { layers, nExperts, topK, tokenIds, expertIndices }: RoutingTrace,
  layer: number,
): Float64Array {
  const row = layers.indexOf(layer);
  if (row < 0) throw new RangeError(`activationRates: layer must be one of ${layers.join(", ")}, got ${layer}`);
  const rates = new Float64Array(nExperts);
  for (let t = 0; t < tokenIds.length; t++)
    for (let slot = 0; slot < topK; slot++) rates[expertIndices[(t * layers.length + row) * topK + slot]!]! += 1;
  return rates.map((n) => n / tokenIds.length);
}
