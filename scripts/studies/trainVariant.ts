import * as tf from "@tensorflow/tfjs";
import { confidence } from "../../lib/metrics/confidence.ts";
import { domainLabels } from "../../lib/metrics/labels.ts";
import { loadPerExpert } from "../../lib/metrics/load.ts";
import { loadShape } from "../../lib/metrics/loadShape.ts";
import { saturation } from "../../lib/metrics/saturation.ts";
import { specialization } from "../../lib/metrics/specialization.ts";
import { MoeModel } from "../../lib/model.ts";
import type { RoutingTrace } from "../../lib/trace/record.ts";
import { type TrainingProgress, train } from "../../lib/train/train.ts";
import { expertSets } from "./expertSets.ts";
import { type ProbeKind, type ProbeReading, readProbe } from "./probe.ts";
import { PROBE_STEPS, studyRun, type Variant } from "./variants.ts";

/** Steps whose mean is one point of a training curve. */
const STEPS_A_POINT = 10;

/** Draws of a chance level: the interval is not printed to more than two digits. */
const DRAWS = 50;

/** The routing of one layer on the probe text. */
interface LayerReading {
  layer: number;
  /** Share of the assignments of each expert: [n_experts]. */
  load: number[];
  maxVio: number;
  /** Mean entropy of the router's probabilities, in nats. */
  entropy: number;
  /** Part of the experts that the last step's router chooses too; what the loads alone would give. */
  saturation: { value: number; byLoad: number };
  /** Generalised Jensen–Shannon divergence of the loads of the kinds of text, in bits, beside shuffled labels. */
  specialization: { value: number; chance: number };
  sets: { possible: number; used: number; effective: number };
}

/** What a study keeps of one training run. */
export interface StudyRecord {
  name: string;
  seed: number;
  /** As `TrainingRun` has it. */
  run: object;
  seconds: number;
  /** Means over {@link STEPS_A_POINT} steps; `maxViolation` is a number for each layer. A dense model has only the first. */
  curve: Record<string, number | number[]>[];
  probes: {
    step: number;
    tokens: number;
    natsPerToken: number;
    bitsPerByte: Record<string, number>;
    layers: LayerReading[];
  }[];
}

const round = (value: number): number => Number(value.toPrecision(5));

/** Trains one model of the studies and reads the probe text with it on the way. */
export async function trainVariant(
  variant: Variant,
  seed: number,
  texts: { tokens: Uint16Array; probe: readonly ProbeKind[] },
  onStep: (progress: TrainingProgress) => void,
): Promise<{ record: StudyRecord; traces: Map<number, RoutingTrace> }> {
  const run = studyRun(variant, seed);
  const readings = new Map<number, ProbeReading>();
  const progress: TrainingProgress[] = [];
  const began = performance.now();
  const model = await train(run, texts.tokens, {
    onStep: (one) => {
      progress.push(one);
      onStep(one);
    },
    onCheckpoint: async ({ step, params }) => {
      if (!PROBE_STEPS.includes(step)) return;
      const current = new MoeModel(run.model, new Map([...params].map(([name, value]) => [name, tf.clone(value)])));
      readings.set(step, readProbe(current, texts.probe, `${variant.name}-${seed}`));
      current.dispose();
    },
  });
  model.dispose();
  const seconds = Math.round((performance.now() - began) / 1000);
  const final = readings.get(run.steps)!.trace;
  const probes = [...readings].map(([step, { natsPerToken, bitsPerByte, trace }]) => ({
    step,
    tokens: step * run.batch * run.pos,
    natsPerToken: round(natsPerToken),
    bitsPerByte: Object.fromEntries(Object.entries(bitsPerByte).map(([kind, bits]) => [kind, round(bits)])),
    layers: trace === null || final === null ? [] : layerReadings(trace, final),
  }));
  const traces = [...readings].flatMap(([step, { trace }]) => (trace === null ? [] : [[step, trace] as const]));
  return {
    record: { name: variant.name, seed, run: { ...run }, seconds, curve: curveOf(progress), probes },
    traces: new Map(traces),
  };
}

function layerReadings(trace: RoutingTrace, final: RoutingTrace): LayerReading[] {
  const { share, nExperts } = loadPerExpert(trace);
  const entropies = confidence(trace);
  const saturations = saturation(trace, final, { draws: DRAWS });
  const specializations = specialization(trace, domainLabels(trace), { draws: DRAWS });
  const sets = expertSets(trace);
  return trace.layers.map((layer, row) => {
    const load = [...share.subarray(row * nExperts, (row + 1) * nExperts)];
    const { value, byLoad } = saturations[row]!.topK;
    const { possible, used, effective } = sets[row]!;
    return {
      layer,
      load: load.map(round),
      maxVio: round(loadShape(load).maxVio),
      entropy: round(entropies[row]!.mean.routerEntropy),
      saturation: { value: round(value), byLoad: round(byLoad) },
      specialization: {
        value: round(specializations[row]!.value),
        chance: round(specializations[row]!.chance.mean),
      },
      sets: { possible, used, effective: round(effective) },
    };
  });
}

function curveOf(progress: readonly TrainingProgress[]): StudyRecord["curve"] {
  const mean = (values: readonly number[]): number => round(values.reduce((a, b) => a + b, 0) / values.length);
  return Array.from({ length: Math.ceil(progress.length / STEPS_A_POINT) }, (_, i) => {
    const steps = progress.slice(i * STEPS_A_POINT, (i + 1) * STEPS_A_POINT);
    const point = { step: steps.at(-1)!.step, crossEntropy: mean(steps.map((one) => one.crossEntropy)) };
    if (steps[0]!.loadBalance === null) return point;
    return {
      ...point,
      loadBalance: mean(steps.map((one) => one.loadBalance!)),
      zLoss: mean(steps.map((one) => one.zLoss!)),
      maxViolation: steps[0]!.maxViolation.map((_first, l) => mean(steps.map((one) => one.maxViolation[l]!))),
    };
  });
}
