import * as tf from "@tensorflow/tfjs";
import { moeOf } from "../config.ts";
import { type HookName, type Hooks, hookName } from "../hooks.ts";
import { type Ablation, ablateExperts, type ExpertMeans } from "../interventions/ablateExperts.ts";
import type { SimulationOptions } from "../metrics/chance.ts";
import { meanOf } from "../metrics/lossDifference.ts";
import { pairedBootstrap } from "../metrics/pairedBootstrap.ts";
import type { MoeModel } from "../model.ts";
import { nextTokenLoss } from "../nextTokenLoss.ts";
import { expertMeans } from "./expertMeans.ts";
import { type Batch, batchesOf, type ReadingOptions } from "./windows.ts";

/** What taking out each expert, one at a time, does to the loss; the view of ablations draws it. */
export interface ExpertAblations {
  layers: number[];
  nExperts: number;
  /** Tokens that were predicted, and their mean loss with all experts, in nats a token. */
  nTokens: number;
  baseLoss: number;
  /** Tokens that were routed to each expert with all experts there: [n_layers, n_experts]. */
  tokens: Float64Array;
  kinds: AblatedKind[];
  /** Tokens that were predicted in each document: [n_documents]. */
  perDocument: Float64Array;
}

export interface AblatedKind {
  name: Ablation;
  /** Mean change of the loss, in nats a token, and the 95 % interval of a bootstrap by document: [n_layers, n_experts]. */
  delta: Float64Array;
  low: Float64Array;
  high: Float64Array;
  /** Sum of the change over each document's tokens, in nats: [n_layers, n_experts, n_documents]. */
  changes: Float64Array;
}

export interface AblationOptions extends ReadingOptions, Omit<SimulationOptions, "onProgress"> {
  /** Ways of taking an expert out; "zero" alone where absent. */
  kinds?: readonly Ablation[];
  /** Layers whose experts are taken out; all where absent. */
  layers?: readonly number[];
  /** What stands for experts where a kind is "mean"; their means over the documents where absent: one for each layer. */
  means?: readonly ExpertMeans[];
  /** Called after each run of the model. */
  onProgress?: (done: number, total: number) => void;
}

/**
 * Takes out every expert of every layer, one at a time, and measures what it does to the loss of some documents.
 *
 * Nothing before the layer changes, so its residual stream is kept and the model runs on from there; a document in which no
 * token uses the expert does not change at all and is not run. It yields between runs, so that progress shows.
 * @param documents token ids; at least two, of at least two tokens each
 * @throws RangeError for fewer or shorter ones, a layer that is not there, or an unknown kind
 * @example show(expertAblation(await ablateEachExpert(model, texts, { kinds: ["zero", "reroute"] })))
 */
export async function ablateEachExpert(
  model: MoeModel,
  documents: readonly ArrayLike<number>[],
  options: AblationOptions = {},
): Promise<ExpertAblations> {
  const { kinds = ["zero"], draws, seed, onProgress, ...reading } = options;
  const layers = checkLayers(options.layers, model.config.nLayers);
  const { nExperts } = moeOf(model.config, "ablateEachExpert");
  const { batches, offsets } = batchesOf("ablateEachExpert", documents, model.config.nCtx, reading);
  const means = options.means ?? (kinds.includes("mean") ? expertMeans(model, documents, reading) : []);
  const sums = {
    base: new Float64Array(documents.length),
    tokens: new Float64Array(layers.length * nExperts),
    changes: kinds.map(() => new Float64Array(layers.length * nExperts * documents.length)),
  };
  const total = batches.length * layers.length * nExperts * kinds.length;
  let done = 0;
  for (const batch of batches)
    for (const step of stepsOf(model, batch, layers, sums)) {
      for (const [k, kind] of kinds.entries()) {
        step.run((layer, expert) => ablateExperts(layer, [expert], kind, means[layer]), sums.changes[k]!);
        onProgress?.(++done, total);
        await tf.nextFrame();
      }
    }
  const perDocument = Float64Array.from(documents, (_, d) => offsets[d + 1]! - offsets[d]!);
  const everyone = Int32Array.from(documents, (_, d) => d);
  const simulation = { ...(draws === undefined ? {} : { draws }), ...(seed === undefined ? {} : { seed }) };
  return {
    layers,
    nExperts,
    nTokens: offsets.at(-1)!,
    baseLoss: meanOf(sums.base, perDocument, everyone),
    tokens: sums.tokens,
    kinds: kinds.map((name, k) => ({ name, ...estimates(sums.changes[k]!, perDocument, simulation) })),
    perDocument,
  };
}

function checkLayers(layers: readonly number[] | undefined, nLayers: number): number[] {
  const all = Array.from({ length: nLayers }, (_, layer) => layer);
  const stray = layers?.find((layer) => !all.includes(layer));
  if (stray !== undefined)
    throw new RangeError(`ablateEachExpert: a layer must be from 0 to ${nLayers - 1}, got ${stray}`);
  return layers === undefined ? all : all.filter((layer) => layers.includes(layer));
}

interface Sums {
  base: Float64Array;
  tokens: Float64Array;
}

/** One expert that is to be taken out: `run` adds each document's change of the loss to `changes`. */
interface Step {
  run(hooks: (layer: number, expert: number) => Hooks, changes: Float64Array): void;
}

/** Runs a batch whole, then offers every expert; what the batch kept is let go at the end. */
function* stepsOf(model: MoeModel, batch: Batch, layers: readonly number[], sums: Sums): Generator<Step> {
  const { nExperts, topK } = moeOf(model.config, "ablateEachExpert");
  const names = layers.flatMap((l): HookName[] => [
    hookName(l, "hook_resid_pre"),
    hookName(l, "mlp.hook_expert_indices"),
  ]);
  const { logits, cache } = model.runWithCache(batch.rows, { names });
  const rows = batch.rows.map((_, r) => r);
  const base = lossSums(logits, batch, rows);
  for (const [r, { document }] of batch.windows.entries()) sums.base[document]! += base[r]!;
  const slots = batch.rows[0]!.length * topK;
  try {
    for (const [row, layer] of layers.entries()) {
      const chosen = cache.get(hookName(layer, "mlp.hook_expert_indices")).dataSync();
      const uses = batch.windows.map(({ document, tokens, at }, r) => {
        const counts = new Float64Array(nExperts);
        for (const e of chosen.subarray(r * slots, r * slots + tokens.length * topK)) counts[e]! += 1;
        return { counts, document, at };
      });
      for (let expert = 0; expert < nExperts; expert++) {
        const place = row * nExperts + expert;
        const using = rows.filter((r) => uses[r]!.counts[expert]! > 0);
        for (const r of using) sums.tokens[place]! += uses[r]!.counts[expert]!;
        yield {
          run: (hooks, changes) => {
            if (using.length === 0) return;
            const changed = tf.tidy(() => {
              const residPre = tf.gather(cache.get(hookName(layer, "hook_resid_pre")), using);
              return model.runFrom(residPre, layer, hooks(layer, expert));
            });
            for (const [i, loss] of lossSums(changed, batch, using).entries()) {
              const { document } = uses[using[i]!]!;
              changes[place * sums.base.length + document]! += loss - base[using[i]!]!;
            }
          },
        };
      }
    }
  } finally {
    cache.dispose();
  }
}

/** Summed loss of each of some rows of a batch, in nats; the logits are used up. @param logits [rows, pos, d_vocab] */
function lossSums(logits: tf.Tensor3D, batch: Batch, rows: readonly number[]): number[] {
  const { perToken } = nextTokenLoss(
    logits,
    rows.map((r) => batch.rows[r]!),
  );
  logits.dispose();
  const width = logits.shape[1] - 1;
  return rows.map((r, i) => {
    const own = perToken.subarray(i * width, i * width + batch.windows[r]!.tokens.length - 1);
    return own.reduce((sum, loss) => sum + loss, 0);
  });
}

/** @param changes [n, n_documents] */
function estimates(
  changes: Float64Array,
  perDocument: Float64Array,
  simulation: SimulationOptions,
): Omit<AblatedKind, "name"> {
  const nDocuments = perDocument.length;
  const found = Array.from({ length: changes.length / nDocuments }, (_, i) => {
    const own = changes.subarray(i * nDocuments, (i + 1) * nDocuments);
    return pairedBootstrap(nDocuments, (picked) => meanOf(own, perDocument, picked), simulation);
  });
  const column = (part: "value" | "low" | "high"): Float64Array => Float64Array.from(found, (e) => e[part]);
  return { delta: column("value"), low: column("low"), high: column("high"), changes };
}
