import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { dbrx } from "../../../lib/families/dbrx.ts";
import { zeroMoments } from "../../../lib/train/adamw.ts";
import { parseRun } from "../../../lib/train/run.ts";
import { freshParams, train } from "../../../lib/train/train.ts";
import { TINY } from "../../helpers.ts";

const RUN = parseRun({ model: dbrx.toJson(TINY), batch: 2, pos: 8, steps: 10, rate: 0.01 });
const TOKENS = Uint16Array.from({ length: 60 }, (_, i) => (5 * i) % 23);

/** What training says where a parameter is multiplied by a number before the first step. */
async function saidWith(name: string, factor: number): Promise<string> {
  const params = freshParams(RUN.model, 1);
  const former = params.get(name)!;
  params.set(name, former.mul(factor));
  former.dispose();
  const state = { step: 0, params, moments: zeroMoments(params) };
  const before = tf.memory().numTensors;
  const error = await train(RUN, TOKENS, { state }).then(
    () => "",
    (cause: Error) => cause.message,
  );
  expect(tf.memory().numTensors).toBe(before - 3 * params.size); // the state is the run's own
  return error;
}

describe("a run that diverges", () => {
  beforeAll(async () => {
    await useBackend();
  });

  test.each([
    ["embed.W_E", "hook_embed"],
    ["blocks.0.attn.W_O", "blocks.0.hook_attn_out"],
    ["blocks.1.attn.W_QKV", "blocks.1.hook_attn_out"],
    ["blocks.1.mlp.W_down", "blocks.1.hook_mlp_out"],
    ["unembed.W_U", "logits"],
  ])("through %s that are no numbers says that they show first in %s", async (name, place) => {
    expect(await saidWith(name, Number.NaN)).toBe(
      `train: loss and gradients must be finite, and the loss below 9.41 (3 times that of a uniform guess), got a loss of NaN at step 1, no longer finite first in ${place}; ` +
        "try a lower rate, more warmupSteps, a smaller clipNorm or a zLossWeight of 0.001",
    );
  });

  test("stops too where the loss still is a number, three times that of a uniform guess", async () => {
    // ln 23 = 3.135; logits of deviation 100 give a loss of some tens.
    expect(await saidWith("unembed.W_U", 100)).toMatch(
      /^train: loss and gradients must be finite, and the loss below 9\.41 \(3 times that of a uniform guess\), got a loss of [1-9]\d(\.\d+)? at step 1; try /,
    );
  });
});
