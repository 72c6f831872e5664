import * as tf from "@tensorflow/tfjs";
import type { KvCache } from "./attend.ts";
import { loadBackend, onBackend } from "./backend.ts";
import type { ModelConfig } from "./config.ts";
import { canStep } from "./decode/canStep.ts";
import { Sequence } from "./decode/sequence.ts";
import { Stepper } from "./decode/step.ts";
import { nextLogits } from "./forward.ts";
import type { Hooks } from "./hooks.ts";
import { checkTokens, type Tokens } from "./tokens.ts";
import { assembleWeights, type Weights } from "./weights.ts";

/** Runs single tokens of a model. */
export interface Decoder {
  /** Takes over a cache that the model filled: from here on this decoder alone grows it. */
  adopt(kvCache: KvCache): void;
  /** As `MoeModel.extend`. */
  extend(tokens: Tokens, kvCache: KvCache, hooks: Hooks): tf.Tensor2D;
  dispose(): void;
}

interface Model {
  config: ModelConfig;
  weights: Weights;
  params: ReadonlyMap<string, tf.Tensor>;
}

/**
 * A WebAssembly memory has at most 4 GiB, and its matrix products keep a second, packed copy of each weight: models up
 * to this many bytes of float32 fit with room to work.
 */
const MAX_TWIN_BYTES = 1 << 30;

/** Tokens that a sequence has room for when it changes to plain numbers; it doubles when they are used up. */
const ROOM = 128;

/**
 * The decoder of a model: steps in plain numbers where there is nothing to hook, else the forward pass in tensors. There
 * one token through a small model is many tiny operations, and each costs `tensorflow` 20 to 130 µs, `wasm` 2 to 15:
 * where the model runs on `tensorflow` and fits, a second copy of its weights on `wasm` decodes. Copies of weights are
 * made when they are first used.
 */
export async function decoderOf(model: Model): Promise<Decoder> {
  const bytes = [...model.params.values()].reduce((sum, param) => sum + 4 * param.size, 0);
  const twin = tf.getBackend() === "tensorflow" && bytes <= MAX_TWIN_BYTES && (await canLoadWasm());
  const watched = twin ? wasmTwin(model) : plainDecoder(model);
  return canStep(model.config) ? stepping(model, watched) : watched;
}

async function canLoadWasm(): Promise<boolean> {
  return loadBackend("wasm").then(
    () => true,
    () => false,
  );
}

/** The forward pass on the model's own weights, wherever they are. */
export function plainDecoder({ config, weights }: Omit<Model, "params">): Decoder {
  return {
    adopt: () => {},
    extend: (tokens, kvCache, hooks) => nextLogits(tokens, weights, config, kvCache, hooks),
    dispose: () => {},
  };
}

/** The forward pass on a copy of the weights in `wasm`. */
function wasmTwin({ config, params }: Model): Decoder {
  const owned: tf.Tensor[] = [];
  const copy = (values: tf.TypedArray, shape: number[]): tf.Tensor => {
    const tensor = onBackend("wasm", () => tf.keep(tf.tensor(values, shape)));
    owned.push(tensor);
    return tensor;
  };
  const copied = (): Weights => {
    const whole = new Map<string, tf.Tensor>();
    const experts = new Map<string, tf.Tensor[]>();
    for (const [name, param] of params) {
      const values = param.dataSync();
      const [n, ...shape] = param.shape as [number, ...number[]];
      const size = param.size / n;
      if (param.rank < 3) whole.set(name, copy(values, param.shape));
      else
        experts.set(
          name,
          Array.from({ length: n }, (_, e) => copy(values.subarray(e * size, (e + 1) * size), shape)),
        );
    }
    return assembleWeights(config, whole, (name, e) => experts.get(name)![e] as tf.Tensor2D);
  };
  let weights: Weights | null = null;
  return {
    adopt: (kvCache) => {
      kvCache.layers = kvCache.layers.map(({ keys, values }) => {
        const moved = [keys, values].map((part) => {
          const data = part.dataSync();
          part.dispose();
          return onBackend("wasm", () => tf.keep(tf.tensor(data, part.shape)));
        });
        return { keys: moved[0] as tf.Tensor4D, values: moved[1] as tf.Tensor4D };
      });
    },
    extend: (tokens, kvCache, hooks) => {
      const own = (weights ??= copied());
      return onBackend("wasm", () => nextLogits(tokens, own, config, kvCache, hooks));
    },
    dispose: () => tf.dispose(owned),
  };
}

/** Steps of one token without hooks in plain numbers; all else through `watched`. */
function stepping({ config, params }: Model, watched: Decoder): Decoder {
  let stepper: Stepper | null = null;
  /** The keys and values of caches whose last step was a plain one; those caches hold no tensors meanwhile. */
  const sequences = new WeakMap<KvCache, Sequence>();

  const toNumbers = (kvCache: KvCache): Sequence => {
    const sequence = new Sequence(config, kvCache.length + ROOM);
    for (const [layer, { keys, values }] of kvCache.layers.entries())
      sequence.append(layer, keys.dataSync<"float32">(), values.dataSync<"float32">());
    sequence.advance(kvCache.length);
    tf.dispose(kvCache.layers.flatMap(({ keys, values }) => [keys, values]));
    kvCache.layers = [];
    sequences.set(kvCache, sequence);
    return sequence;
  };

  const toTensors = (kvCache: KvCache, sequence: Sequence): void => {
    const shape: [number, number, number, number] = [1, config.nKvHeads, sequence.length, config.dHead];
    kvCache.layers = Array.from({ length: config.nLayers }, (_, layer) => {
      const { keys, values } = sequence.read(layer);
      return { keys: tf.keep(tf.tensor4d(keys, shape)), values: tf.keep(tf.tensor4d(values, shape)) };
    });
    sequences.delete(kvCache);
    watched.adopt(kvCache);
  };

  return {
    adopt: (kvCache) => watched.adopt(kvCache),
    extend: (tokens, kvCache, hooks) => {
      const { ids } = checkTokens(tokens, config, kvCache.length);
      const sequence = sequences.get(kvCache);
      if (ids.length > 1 || Object.keys(hooks).length > 0) {
        if (sequence !== undefined) toTensors(kvCache, sequence);
        return watched.extend(tokens, kvCache, hooks);
      }
      stepper ??= new Stepper(config, params);
      const logits = stepper.step(ids[0]!, sequence ?? toNumbers(kvCache));
      kvCache.length++;
      return tf.tensor2d(logits, [1, config.dVocab]);
    },
    dispose: () => {
      stepper?.dispose();
      stepper = null;
      watched.dispose();
    },
  };
}
