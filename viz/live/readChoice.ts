import type { RoutingGridLive, RoutingOverviewLive } from "../contract.ts";
import { percent, probability, quoted } from "../format.ts";
import type { GridNumbers } from "../gridCells.ts";
import type { Reading } from "./tip.ts";

/**
 * What is said about one chosen expert of a grid.
 * @param token number of the token in the window
 * @param slot which of the token's experts in the layer
 */
export function readChoice(
  live: RoutingGridLive | RoutingOverviewLive,
  { indices, weights }: GridNumbers,
  token: number,
  row: number,
  slot: number,
): Reading {
  const { topK, layers, nExperts, tokens, colors } = live;
  const at = (t: number): number => (t * layers.length + row) * topK;
  const expert = indices[at(token) + slot]!;
  let uses = 0;
  for (let t = 0; t < tokens.length; t++) {
    const from = at(t);
    for (let k = 0; k < topK; k++) if (indices[from + k] === expert) uses += 1;
  }
  const chosen = Array.from({ length: topK }, (_, k) => indices[at(token) + k]!);
  return {
    head: `${live.start + token} ${quoted(tokens[token]!)}, layer ${layers[row]}`,
    lines: [
      ...chosen.map((e, k) => ({
        name: `expert ${e}`,
        value: weights === null ? "" : probability(weights[at(token) + k]!),
        ...(colors === null ? {} : { swatch: colors[e]! }),
        strong: k === slot,
      })),
      {
        name: `tokens on expert ${expert} in this layer`,
        value: `${uses} of ${tokens.length} = ${percent(uses / tokens.length)}`,
      },
      { name: "uniform routing", value: percent(topK / nExperts) },
    ],
  };
}
