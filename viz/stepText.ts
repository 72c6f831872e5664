import { percent, probability, real } from "./format.ts";
import type { GatingRule, TokenSteps } from "./routeToken.ts";

/** The steps of a router in the order in which they are drawn. */
export const COLUMNS = ["logit", "softmax", "topK", "weight", "sum"] as const;
export type StepName = (typeof COLUMNS)[number];

/** Places within a column, in pixels: distance to the next, room of a bar, right end of its number. */
export const BAR = { pitch: 148, room: 80, number: 132 };

/** What the words of a step need to know. */
interface Steps extends TokenSteps {
  logits: readonly number[];
  nExperts: number;
  topK: number;
  parts: readonly number[] | null;
}

/** The arithmetic of a step in words, for one expert, with the numbers as they are. */
export function stepText(name: StepName, steps: Steps, gating: GatingRule, expert: number): string {
  const { logits, exps, sum, probs, chosen, divisor, weights, parts, topK, nExperts } = steps;
  const rank = chosen.indexOf(expert);
  const p = probability(probs[expert]!);
  switch (name) {
    case "logit":
      return `Logit: the router's row for expert ${expert} times the token gives ${real(logits[expert]!)}.`;
    case "softmax":
      return `Softmax: e to the logit, less the largest, is ${real(exps[expert]!)}; over the sum ${real(sum)} of all ${nExperts} it is ${p}.`;
    case "topK":
      return rank < 0
        ? `Top-k: expert ${expert} is not among the ${topK} largest.`
        : `Top-k: expert ${expert} has rank ${rank + 1} and is one of the ${topK} chosen.`;
    case "weight":
      if (rank < 0) return `Weight: expert ${expert} was not chosen and has none.`;
      if (gating.kind === "topKThenSoftmax")
        return `Weight: ${real(exps[expert]!)} over the chosen ones' sum ${real(divisor)} is ${probability(weights[rank]!)}.`;
      if (gating.normalize === null) return `Weight: the probability itself, ${probability(weights[rank]!)}.`;
      return `Weight: ${p} over ${gating.normalize === 1 ? "the chosen ones' sum" : `their ${gating.normalize}-norm`} ${probability(divisor)} is ${probability(weights[rank]!)}.`;
    case "sum":
      if (rank < 0) return `Sum: expert ${expert} computed nothing, which is not zero.`;
      if (parts === null) return "Sum: the experts' outputs were not recorded.";
      return Number.isNaN(parts[rank]!)
        ? `Sum: the model did not ask expert ${expert}, so its output is not known.`
        : `Sum: its output, weighted, makes up ${percent(parts[rank]!)} of the layer's.`;
  }
}
