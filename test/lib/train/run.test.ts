import { describe, expect, test } from "vitest";
import { ConfigError } from "../../../lib/errors.ts";
import { dbrx } from "../../../lib/families/dbrx.ts";
import { learningRate, parseRun, type TrainingRun } from "../../../lib/train/run.ts";
import { TINY, TINY_DENSE } from "../../helpers.ts";

const MODEL = dbrx.toJson(TINY);
const JSON_RUN = { model: MODEL, batch: 2, pos: 8, steps: 10, rate: 0.01 };

function run(fields: Partial<TrainingRun>): TrainingRun {
  return { ...parseRun(JSON_RUN), ...fields };
}

describe("parseRun", () => {
  test("fills in what is left out, the weight of the balance from the model", () => {
    expect(parseRun(JSON_RUN)).toEqual({
      model: TINY,
      batch: 2,
      pos: 8,
      steps: 10,
      seed: 1,
      rate: 0.01,
      finalRate: 0,
      warmupSteps: 0,
      weightDecay: 0.1,
      beta1: 0.9,
      beta2: 0.95,
      eps: 1e-8,
      clipNorm: 1,
      loadBalance: { form: "megablocks", weight: 0.05 },
      zLossWeight: 0,
      checkpointEvery: 200,
    } satisfies TrainingRun);
    expect(parseRun({ ...JSON_RUN, loadBalance: { form: "huggingface" } }).loadBalance).toEqual({
      form: "huggingface",
      weight: 0.05,
    });
    expect(parseRun({ ...JSON_RUN, loadBalance: { weight: 0 } }).loadBalance).toEqual({
      form: "megablocks",
      weight: 0,
    });
  });

  test("leaves a dense model without a balance, and refuses what only a router can have", () => {
    const dense = { ...JSON_RUN, model: dbrx.toJson(TINY_DENSE) };
    const parsed = parseRun(dense);
    expect([parsed.model, parsed.loadBalance, parsed.zLossWeight]).toEqual([TINY_DENSE, null, 0]);
    expect(parseRun({ ...dense, loadBalance: null })).toEqual(parsed);
    expect(() => parseRun({ ...dense, loadBalance: { weight: 0.05 } })).toThrow(
      new ConfigError('run: loadBalance must be left out for a dense model, which has no router, got {"weight":0.05}'),
    );
    expect(() => parseRun({ ...dense, zLossWeight: 0.1 })).toThrow(
      new ConfigError("run: zLossWeight must be 0 for a dense model, which has no router, got 0.1"),
    );
  });

  test("is the same for the same fields in another order, as a state of the run will be compared", () => {
    const turned = Object.fromEntries(Object.entries(JSON_RUN).toReversed());
    expect(JSON.stringify(parseRun(turned))).toBe(JSON.stringify(parseRun(JSON_RUN)));
  });

  test.each<[string, object, string]>([
    ["no batch", { batch: undefined }, "batch must be a whole number from 1, got undefined"],
    ["an empty batch", { batch: 0 }, "batch must be a whole number from 1, got 0"],
    ["half a sequence", { pos: 4.5 }, "pos must be a whole number from 1, got 4.5"],
    ["steps in words", { steps: "10" }, 'steps must be a whole number from 1, got "10"'],
    ["no rate", { rate: undefined }, "rate must be a number from 0, got undefined"],
    ["a negative rate", { rate: -0.1 }, "rate must be a number from 0, got -0.1"],
    ["a rate that is not a number", { rate: Number.NaN }, "rate must be a number from 0, got NaN"],
    ["a negative last rate", { finalRate: -1 }, "finalRate must be a number from 0, got -1"],
    ["a beta of 1", { beta1: 1 }, "beta1 must be a number from 0 to below 1, got 1"],
    ["a negative beta", { beta2: -0.5 }, "beta2 must be a number from 0 to below 1, got -0.5"],
    ["no eps", { eps: 0 }, "eps must be a positive number, got 0"],
    ["a clip to nothing", { clipNorm: 0 }, "clipNorm must be a positive number, got 0"],
    ["an infinite clip", { clipNorm: Infinity }, "clipNorm must be a positive number, got Infinity"],
    ["negative decay", { weightDecay: -0.1 }, "weightDecay must be a number from 0, got -0.1"],
    ["a reward for large logits", { zLossWeight: -1 }, "zLossWeight must be a number from 0, got -1"],
    ["a seed that is a fraction", { seed: 0.5 }, "seed must be a whole number from 0, got 0.5"],
    [
      "checkpoints at every step but none",
      { checkpointEvery: 0 },
      "checkpointEvery must be a whole number from 1, got 0",
    ],
    ["sequences past the context", { pos: 33 }, "pos must be at most the model's context (32), got 33"],
    ["a warm-up past the end", { warmupSteps: 11 }, "warmupSteps must be at most steps (10), got 11"],
    [
      "another balance",
      { loadBalance: { form: "switch" } },
      'loadBalance.form must be megablocks or huggingface, got "switch"',
    ],
    ["a negative balance", { loadBalance: { weight: -1 } }, "loadBalance.weight must be a number from 0, got -1"],
    ["a balance that is a number", { loadBalance: 0.1 }, "loadBalance must be an object, got 0.1"],
    ["a balance that is a word", { loadBalance: "megablocks" }, 'loadBalance must be an object, got "megablocks"'],
    [
      "a typo in the balance",
      { loadBalance: { wieght: 1 } },
      "loadBalance fields must be form, weight, got also wieght",
    ],
  ])("refuses %s in one line", (_, change, message) => {
    expect(() => parseRun({ ...JSON_RUN, ...change })).toThrow(new ConfigError(`run: ${message}`));
  });

  test("takes restarts that rise and lie within the run, and refuses others in one line", () => {
    expect(parseRun({ ...JSON_RUN, restarts: [1, 9] }).restarts).toEqual([1, 9]);
    for (const restarts of [[0], [10], [4, 4], [6, 3], [2.5], ["3"], 3, null])
      expect(() => parseRun({ ...JSON_RUN, restarts })).toThrow(
        new ConfigError(
          `run: restarts must be whole numbers from 1 to 9, each above the one before, got ${JSON.stringify(restarts)}`,
        ),
      );
  });

  test("refuses fields that it does not know, and says which it does", () => {
    expect(() => parseRun({ ...JSON_RUN, learningRate: 1, epochs: 2 })).toThrow(
      /^run: fields must be model, loadBalance, restarts, batch, pos, .*, checkpointEvery, got also learningRate, epochs$/,
    );
  });

  test("refuses a model that cannot be, with the model's own message", () => {
    expect(() => parseRun({ ...JSON_RUN, model: { ...MODEL, n_layers: 0 } })).toThrow("config: nLayers must be");
    expect(() => parseRun({ ...JSON_RUN, model: undefined })).toThrow("config.json: must be an object, got undefined");
  });

  test.each([null, [], "run", 5, undefined])("refuses %j, which is no object", (json) => {
    expect(() => parseRun(json)).toThrow(ConfigError);
  });
});

describe("learningRate", () => {
  test("rises in equal steps to the top, and falls along half a cosine", () => {
    // Warm-up 4 of 12 steps; then (step − 4) / 8 of a half-turn: 1, …, cos(π/2) in the middle, at step 8.
    const schedule = run({ rate: 0.8, finalRate: 0.2, warmupSteps: 4, steps: 12 });
    const rates = Array.from({ length: 12 }, (_, step) => learningRate(step, schedule));
    expect(rates.slice(0, 4)).toEqual([0.2, 0.4, 0.6000000000000001, 0.8]);
    expect(rates[4]).toBeCloseTo(0.8, 12);
    expect(rates[6]).toBeCloseTo(0.2 + 0.3 * (1 + Math.SQRT1_2), 12);
    expect(rates[8]).toBeCloseTo(0.5, 12);
    for (let step = 5; step < 12; step++) expect(rates[step]!).toBeLessThan(rates[step - 1]!);
    // The last step is one short of the end of the turn.
    expect(rates[11]).toBeCloseTo(0.2 + 0.3 * (1 + Math.cos((7 / 8) * Math.PI)), 12);
  });

  test("begins at the top without a warm-up, and may be all warm-up", () => {
    expect(learningRate(0, run({ rate: 0.5, warmupSteps: 0, steps: 10 }))).toBe(0.5);
    const warm = run({ rate: 0.5, warmupSteps: 10, steps: 10 });
    expect([0, 9].map((step) => learningRate(step, warm))).toEqual([0.05, 0.5]);
  });

  test("of a run of one step is the top", () => {
    expect(learningRate(0, run({ rate: 0.5, finalRate: 0.1, warmupSteps: 0, steps: 1 }))).toBe(0.5);
    expect(learningRate(0, run({ rate: 0.5, warmupSteps: 1, steps: 1 }))).toBe(0.5);
  });

  test("does the same from each restart on, over as many steps as there are to the next one or the end", () => {
    const schedule = run({ rate: 0.8, finalRate: 0.2, warmupSteps: 2, steps: 22, restarts: [6, 12] });
    const cycle = (steps: number): number[] => {
      const alone = run({ rate: 0.8, finalRate: 0.2, warmupSteps: 2, steps });
      return Array.from({ length: steps }, (_, step) => learningRate(step, alone));
    };
    const rates = Array.from({ length: 22 }, (_, step) => learningRate(step, schedule));
    expect(rates).toEqual([...cycle(6), ...cycle(6), ...cycle(10)]);
    // One step of warm-up after the first restart, and the cosine at its middle, (4 - 2) / 4 of half a turn.
    expect([rates[6], rates[10]]).toEqual([0.4, 0.5]);
  });

  test("may rise to a last rate that is higher, and stay where the two are the same", () => {
    expect(learningRate(9, run({ rate: 0.1, finalRate: 0.9, steps: 10 }))).toBeGreaterThan(0.8);
    expect([0, 5, 9].map((step) => learningRate(step, run({ rate: 0.3, finalRate: 0.3 })))).toEqual([0.3, 0.3, 0.3]);
  });
});
