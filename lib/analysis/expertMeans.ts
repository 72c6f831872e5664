import { moeLayers, moeOf } from "../config.ts";
import { hookName } from "../hooks.ts";
import type { ExpertMeans } from "../interventions/ablateExperts.ts";
import type { MoeModel } from "../model.ts";
import { batchesOf, type ReadingOptions } from "./windows.ts";

/**
 * The mean output of each expert over the tokens that are routed to it, before weighting: what mean ablation puts in the
 * expert's place. NaN for an expert that no token reached.
 * @param documents token ids, at least two a document
 * @returns one for each layer
 * @throws RangeError for no documents, one that is too short, or what the model refuses
 * @example ablateExperts(2, [5], "mean", expertMeans(model, texts)[2])
 */
export function expertMeans(
  model: MoeModel,
  documents: readonly ArrayLike<number>[],
  reading: ReadingOptions = {},
): ExpertMeans[] {
  const { nLayers, dModel, nCtx } = model.config;
  const { nExperts, topK } = moeOf(model.config, "expertMeans");
  const sums = Array.from({ length: nLayers }, () => new Float64Array(nExperts * dModel));
  const counts = Array.from({ length: nLayers }, () => new Float64Array(nExperts));
  const names = ["blocks.*.mlp.hook_expert_indices", "blocks.*.mlp.hook_expert_out"];
  for (const { windows, rows } of batchesOf("expertMeans", documents, nCtx, reading).batches) {
    const { logits, cache } = model.runWithCache(rows, { names, stopAtLayer: nLayers });
    logits.dispose();
    const slots = rows[0]!.length * topK;
    for (const layer of moeLayers(model.config)) {
      const indices = cache.get(hookName(layer, "mlp.hook_expert_indices")).dataSync();
      const outputs = cache.get(hookName(layer, "mlp.hook_expert_out")).dataSync();
      for (const [r, { tokens }] of windows.entries())
        for (let slot = r * slots; slot < r * slots + tokens.length * topK; slot++) {
          const expert = indices[slot]!;
          counts[layer]![expert]! += 1;
          for (let d = 0; d < dModel; d++) sums[layer]![expert * dModel + d]! += outputs[slot * dModel + d]!;
        }
    }
    cache.dispose();
  }
  return sums.map((sum, layer) => ({
    nExperts,
    values: Float32Array.from(sum, (value, i) => value / counts[layer]![Math.floor(i / dModel)]!),
  }));
}
