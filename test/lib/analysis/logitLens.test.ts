import { readFileSync } from "node:fs";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { directLogitAttribution } from "../../../lib/analysis/directLogitAttribution.ts";
import { logitLens } from "../../../lib/analysis/logitLens.ts";
import { useBackend } from "../../../lib/backend.ts";
import { loadModel } from "../../../lib/checkpoint/folder.ts";
import { openFolder } from "../../../lib/checkpoint/node.ts";
import { moeOf } from "../../../lib/config.ts";
import type { MoeModel } from "../../../lib/model.ts";
import type { TokenPiece } from "../../../lib/trace/record.ts";
import { logitLens as lensView } from "../../../viz/logitLens.ts";
import { residualNorms } from "../../../viz/residualNorms.ts";
import { expectNoLeak, goldenRows, randomModel, relativeError } from "../../helpers.ts";

interface Golden {
  lens: Record<"topIds" | "topProbs", number[][][]> & Record<"finalRank" | "nextLoss" | "norms", number[][]>;
  attribution: Record<"targets" | "against" | "embedding" | "logits" | "difference", number[]> &
    Record<"attention" | "mlp", number[][]> &
    Record<"heads" | "experts", number[][][]>;
}

const GOLDEN = join(import.meta.dirname, "../../golden");
const golden = JSON.parse(readFileSync(join(GOLDEN, "analysis/analysis.json"), "utf8")) as Record<string, Golden>;

// LayerNorm; factors on embeddings, residual stream and logits, tied; norms after attention and MLP, tied.
const MODELS = ["dbrx/p1", "families/granite", "families/grok"];

const tokenizer = {
  pieces: (ids: Iterable<number>): TokenPiece[] =>
    [...ids].map((id) => ({ id, bytes: new TextEncoder().encode(`${id}`), text: `${id}`, special: false })),
};

describe.each(MODELS)("on %s, as NumPy reads what other code recorded,", (name) => {
  const { lens, attribution } = golden[name.split("/")[1]!]!;
  let model: MoeModel;
  let ids: number[];
  beforeAll(async () => {
    await useBackend();
    model = await loadModel(join(GOLDEN, name));
    const values = await openFolder(join(GOLDEN, `${name}.values.safetensors`));
    ids = (await goldenRows(values, "ids"))[0]!;
    await values.close();
    return () => model.dispose();
  });

  test("the lens lists the same tokens, with their probabilities, ranks, losses and lengths", () => {
    const found = logitLens(model, ids, tokenizer, { nTop: 3 });
    expect([...found.topIds]).toEqual(lens.topIds.flat(2));
    expect([...found.finalRank]).toEqual(lens.finalRank.flat());
    expect(relativeError(found.topProbs, lens.topProbs.flat(2))).toBeLessThan(1e-4);
    expect(relativeError(found.nextLoss, lens.nextLoss.flat())).toBeLessThan(1e-4);
    expect(relativeError(found.norms, lens.norms.flat())).toBeLessThan(1e-4);
  });

  test("each part adds to a logit what it adds with the norm's scale fixed", () => {
    const { targets, against } = attribution;
    const found = directLogitAttribution(model, ids, { targets });
    for (const part of ["embedding", "logits", "attention", "heads", "experts"] as const)
      expect(relativeError(found[part], [attribution[part]].flat(3)), part).toBeLessThan(1e-4);
    const relative = directLogitAttribution(model, ids, { targets, against });
    expect(relativeError(relative.logits, attribution.difference)).toBeLessThan(1e-4);
    expect(relativeError(relative.mlp, attribution.mlp.flat())).toBeLessThan(1e-4);
  });

  test("blocks sum to the logit, heads to their attention, experts to their MLP, within 1e-4", () => {
    for (const against of [undefined, "mean"] as const) {
      const found = directLogitAttribution(model, ids, against === undefined ? {} : { against });
      const { nLayers, nHeads } = model.config;
      const { topK } = moeOf(model.config);
      const n = ids.length;
      for (let t = 0; t < n; t++) {
        let sum = found.embedding[t]!;
        for (let row = t; row < nLayers * n; row += n) {
          sum += found.attention[row]! + found.mlp[row]!;
          expect(sumOf(found.heads, row, nHeads)).toBeCloseTo(found.attention[row]!, 4);
          expect(sumOf(found.experts, row, topK)).toBeCloseTo(found.mlp[row]!, 4);
        }
        expect(Math.abs(sum - found.logits[t]!), `token ${t}`).toBeLessThan(1e-4);
      }
    }
  });
});

function sumOf(values: Float32Array, row: number, width: number): number {
  return values.subarray(row * width, (row + 1) * width).reduce((sum, x) => sum + x, 0);
}

test.each(["dbrx/glu", "families/qwen3-mixed"])(
  "blocks sum to the logit in %s, which has layers without experts",
  async (name) => {
    await useBackend();
    const model = await loadModel(join(GOLDEN, name));
    const ids = [3, 1, 4, 1, 5, 9];
    const found = directLogitAttribution(model, ids);
    const { mlp, nLayers } = model.config;
    expect(found.experts.length).toBe(mlp.kind === "moe" ? nLayers * 6 * mlp.topK : 0);
    expect(found.experts.some(Number.isNaN)).toBe(mlp.kind === "moe");
    for (let t = 0; t < 6; t++) {
      let sum = found.embedding[t]!;
      for (let row = t; row < nLayers * 6; row += 6) sum += found.attention[row]! + found.mlp[row]!;
      expect(Math.abs(sum - found.logits[t]!)).toBeLessThan(1e-4);
    }
    model.dispose();
  },
);

describe("on a random model", () => {
  let model: MoeModel;
  const ids = [5, 17, 3, 9, 0, 22];
  beforeAll(async () => {
    await useBackend();
    model = randomModel();
    return () => model.dispose();
  });

  test("the views draw what the lens gives", () => {
    const found = logitLens(model, ids, tokenizer);
    expect(lensView(found).data.rows).toEqual(["embedding", "layer 0", "layer 1"]);
    expect(lensView(found, { color: "rank" }).data.finalRank?.at(-1)).toBe(1);
    expect(residualNorms(found).data.norms.length).toBe(18);
  });

  test("the default targets are the next tokens, and at the end the model's own choice", () => {
    const last = logitLens(model, ids, tokenizer, { nTop: 1 }).topIds.at(-1)!;
    expect([...directLogitAttribution(model, ids).targets]).toEqual([17, 3, 9, 0, 22, last]);
  });

  test("hooks are seen: a silenced MLP adds nothing, and the others go on adding", () => {
    const hooks = { "blocks.1.hook_mlp_out": (x: tf.Tensor) => tf.zerosLike(x) };
    const found = directLogitAttribution(model, ids, { hooks });
    expect([...found.mlp.subarray(6)].every((x) => x === 0)).toBe(true);
    expect(found.mlp.subarray(0, 6).some((x) => x !== 0)).toBe(true);
  });

  test("neither leaves a tensor behind, not even when it refuses", () => {
    model.run(ids).dispose();
    expectNoLeak(() => void logitLens(model, ids, tokenizer));
    expectNoLeak(() => void directLogitAttribution(model, ids, { against: "mean" }));
    expectNoLeak(() => {
      expect(() => directLogitAttribution(model, ids, { targets: [1] })).toThrow(
        "directLogitAttribution: targets must be one for each of 6 tokens, got 1",
      );
    });
    expect(() => directLogitAttribution(model, ids, { against: [0, 1, 2, 3, 4, 23] })).toThrow(
      "directLogitAttribution: against must be ids from 0 to 22, got 23",
    );
    expect(() => logitLens(model, ids, tokenizer, { nTop: 0 })).toThrow(
      "logitLens: nTop must be a whole number from 1 to 23, got 0",
    );
  });
});
