import type { ModelConfig } from "../config.ts";
import { ConfigError, listed, shown } from "../errors.ts";
import { parseConfig } from "../families/index.ts";

/** Everything that decides a training run: the same run on the same data gives the same model. */
export interface TrainingRun {
  model: ModelConfig;
  /** Sequences per step, and tokens of each. */
  batch: number;
  pos: number;
  steps: number;
  /**
   * Steps, counted from 0, at which warm-up and cosine begin anew; absent: none. A finished run trains on when its number
   * of steps goes in here and `steps` becomes more.
   */
  restarts?: readonly number[];
  seed: number;
  /** Highest learning rate; reached after `warmupSteps`, then down a cosine to `finalRate`. */
  rate: number;
  finalRate: number;
  warmupSteps: number;
  weightDecay: number;
  beta1: number;
  beta2: number;
  eps: number;
  /** Gradients are scaled down to this length where they are longer. */
  clipNorm: number;
  /** Null for a dense model, which has no router: then `zLossWeight` is 0 too. */
  loadBalance: { form: "megablocks" | "huggingface"; weight: number } | null;
  zLossWeight: number;
  /** Steps between checkpoints of the run. */
  checkpointEvery: number;
}

type Rule = (value: unknown) => boolean;
const isNumber: Rule = (value) => typeof value === "number" && Number.isFinite(value);
const atLeast =
  (least: number, whole: boolean): Rule =>
  (value) =>
    isNumber(value) && (value as number) >= least && (!whole || Number.isInteger(value));

const RULES: Record<
  Exclude<keyof TrainingRun, "model" | "loadBalance" | "restarts">,
  [Rule, string, fallback?: number]
> = {
  batch: [atLeast(1, true), "a whole number from 1"],
  pos: [atLeast(1, true), "a whole number from 1"],
  steps: [atLeast(1, true), "a whole number from 1"],
  seed: [atLeast(0, true), "a whole number from 0", 1],
  rate: [atLeast(0, false), "a number from 0"],
  finalRate: [atLeast(0, false), "a number from 0", 0],
  warmupSteps: [atLeast(0, true), "a whole number from 0", 0],
  weightDecay: [atLeast(0, false), "a number from 0", 0.1],
  beta1: [(v) => atLeast(0, false)(v) && (v as number) < 1, "a number from 0 to below 1", 0.9],
  beta2: [(v) => atLeast(0, false)(v) && (v as number) < 1, "a number from 0 to below 1", 0.95],
  eps: [(v) => isNumber(v) && (v as number) > 0, "a positive number", 1e-8],
  clipNorm: [(v) => isNumber(v) && (v as number) > 0, "a positive number", 1],
  zLossWeight: [atLeast(0, false), "a number from 0", 0],
  checkpointEvery: [atLeast(1, true), "a whole number from 1", 200],
};

/**
 * Reads a run from parsed JSON. `model` is a config.json of a family; the rest are the fields of {@link TrainingRun}.
 * @throws ConfigError naming the field, what it must be and what it is; unknown fields are refused
 */
export function parseRun(json: unknown): TrainingRun {
  if (typeof json !== "object" || json === null || Array.isArray(json))
    throw new ConfigError(`run: must be an object, got ${shown(json)}`);
  const given = json as Record<string, unknown>;
  const known = ["model", "loadBalance", "restarts", ...Object.keys(RULES)];
  const unknown = Object.keys(given).filter((field) => !known.includes(field));
  if (unknown.length > 0)
    throw new ConfigError(`run: fields must be ${listed(known, 20)}, got also ${listed(unknown)}`);
  const numbers = Object.entries(RULES).map(([field, [rule, expected, fallback]]) => {
    const value = given[field] ?? fallback;
    if (!rule(value)) throw new ConfigError(`run: ${field} must be ${expected}, got ${shown(value)}`);
    return [field, value];
  });
  const model = parseConfig(given["model"]);
  const { restarts } = given;
  const run = {
    ...Object.fromEntries(numbers),
    model,
    loadBalance: parseLoadBalance(given["loadBalance"], model),
    ...(restarts === undefined ? {} : { restarts }),
  };
  const { pos, steps, warmupSteps, zLossWeight } = run as TrainingRun;
  if (model.mlp.kind === "dense" && zLossWeight > 0)
    throw new ConfigError(`run: zLossWeight must be 0 for a dense model, which has no router, got ${zLossWeight}`);
  if (pos > model.nCtx)
    throw new ConfigError(`run: pos must be at most the model's context (${model.nCtx}), got ${pos}`);
  if (warmupSteps > steps)
    throw new ConfigError(`run: warmupSteps must be at most steps (${steps}), got ${warmupSteps}`);
  if (restarts !== undefined && !areRestarts(restarts, steps))
    throw new ConfigError(
      `run: restarts must be whole numbers from 1 to ${steps - 1}, each above the one before, got ${shown(restarts)}`,
    );
  return run as TrainingRun;
}

function areRestarts(value: unknown, steps: number): boolean {
  if (!Array.isArray(value)) return false;
  return value.every((at, i) => atLeast((value[i - 1] ?? 0) + 1, true)(at) && at < steps);
}

function parseLoadBalance(value: unknown, model: ModelConfig): TrainingRun["loadBalance"] {
  if (model.mlp.kind === "dense") {
    if (value === undefined || value === null) return null;
    throw new ConfigError(
      `run: loadBalance must be left out for a dense model, which has no router, got ${shown(value)}`,
    );
  }
  const given = value ?? {};
  if (typeof given !== "object" || Array.isArray(given))
    throw new ConfigError(`run: loadBalance must be an object, got ${shown(given)}`);
  const { form, weight, ...others } = { form: "megablocks", weight: model.mlp.loadBalanceWeight, ...given };
  if (Object.keys(others).length > 0)
    throw new ConfigError(`run: loadBalance fields must be form, weight, got also ${listed(Object.keys(others))}`);
  if (form !== "megablocks" && form !== "huggingface")
    throw new ConfigError(`run: loadBalance.form must be megablocks or huggingface, got ${shown(form)}`);
  if (!atLeast(0, false)(weight))
    throw new ConfigError(`run: loadBalance.weight must be a number from 0, got ${shown(weight)}`);
  return { form, weight };
}

/**
 * Learning rate of a step (from 0): linear warm-up, then half a cosine, from the start and from each restart.
 * @see Loshchilov and Hutter 2017, arXiv:1608.03983, eq. 5; there a restart has no warm-up
 */
export function learningRate(step: number, run: TrainingRun): number {
  const { rate, finalRate, warmupSteps, steps, restarts = [] } = run;
  const begin = restarts.findLast((at) => at <= step) ?? 0;
  const length = (restarts.find((at) => at > step) ?? steps) - begin;
  const own = step - begin;
  if (own < warmupSteps) return (rate * (own + 1)) / warmupSteps;
  const done = (own - warmupSteps) / Math.max(1, length - warmupSteps);
  return finalRate + 0.5 * (rate - finalRate) * (1 + Math.cos(Math.PI * done));
}
