import { domainLabels } from "../../lib/metrics/labels.ts";
import { loadPerExpert } from "../../lib/metrics/load.ts";
import { loadChance } from "../../lib/metrics/loadChance.ts";
import { loadShape } from "../../lib/metrics/loadShape.ts";
import { specialization } from "../../lib/metrics/specialization.ts";
import type { MoeModel } from "../../lib/model.ts";
import { routingTrace } from "../../lib/trace/capture.ts";
import type { RoutingTrace } from "../../lib/trace/record.ts";
import { joinTraces } from "../../lib/trace/sequences.ts";

/** Windows that the model reads at once. */
const BATCH = 8;

/** Shuffles behind a chance level. */
const DRAWS = 200;

/** How one layer routes held-out text. */
export interface LayerRouting {
  layer: number;
  /** Largest load over the uniform one, less 1, and the central 95 % of it if every token drew its experts at random. */
  maxVio: number;
  maxVioByChance: { low: number; high: number };
  /** The smallest load, a share of the assignments; uniform is 1 / n_experts. */
  leastLoad: number;
  /**
   * Generalised Jensen–Shannon divergence of the loads of the kinds of text, in bits, beside what it would be if the labels of
   * the windows meant nothing (mean and central 95 %), with a 95 % interval, and the most that it can be.
   */
  specialization: {
    value: number;
    interval: { low: number; high: number };
    chance: { mean: number; low: number; high: number };
    most: number;
  };
}

/** The routing of held-out text: what it was measured on, and each layer's. */
export interface HeldOutRouting {
  nTokens: number;
  nWindows: number;
  /** Tokens of a window: what is labelled with its kind and shuffled as a whole. */
  pos: number;
  kinds: string[];
  layers: LayerRouting[];
}

/** Routes whole windows of each kind of held-out text and measures load and specialisation by kind. */
export function heldOutRouting(
  model: MoeModel,
  tokens: ReadonlyMap<string, Uint16Array>,
  pos: number,
  onProgress: (done: string) => void,
): HeldOutRouting {
  const traces = [...tokens].map(([kind, ids]) => {
    onProgress(kind);
    return traceOf(model, kind, ids, pos);
  });
  const trace = joinTraces(traces);
  const { share, nExperts, topK, nTokens } = loadPerExpert(trace);
  const chance = loadChance({ nExperts, topK, nTokens }).maxVio;
  const layers = specialization(trace, domainLabels(trace), { draws: DRAWS }).map((one, row) => {
    const load = share.subarray(row * nExperts, (row + 1) * nExperts);
    const { value, interval, most, chance: shuffled } = one;
    return {
      layer: one.layer,
      maxVio: loadShape(load).maxVio,
      maxVioByChance: { low: chance.low, high: chance.high },
      leastLoad: Math.min(...load),
      specialization: {
        value,
        interval,
        chance: { mean: shuffled.mean, low: shuffled.low, high: shuffled.high },
        most,
      },
    };
  });
  return { nTokens, nWindows: nTokens / pos, pos, kinds: [...tokens.keys()], layers };
}

function traceOf(model: MoeModel, kind: string, ids: Uint16Array, pos: number): RoutingTrace {
  const windows = Array.from({ length: Math.floor(ids.length / pos) }, (_, w) => ids.subarray(w * pos, (w + 1) * pos));
  const traces: RoutingTrace[] = [];
  for (let start = 0; start < windows.length; start += BATCH) {
    const tokens = windows.slice(start, start + BATCH);
    const { logits, cache } = model.runWithCache(tokens, {
      names: ["blocks.*.mlp.hook_expert_indices", "blocks.*.mlp.hook_expert_weights"],
    });
    const trace = routingTrace({ cache, config: model.config, tokens, pieces: null }, "reference");
    traces.push({ ...trace, domains: tokens.map(() => kind) });
    logits.dispose();
    cache.dispose();
  }
  return joinTraces(traces);
}
