import * as tf from "@tensorflow/tfjs";
import { loadBackend, onBackend } from "./backend.ts";
import type { ModelConfig } from "./config.ts";
import { type KvCache, nextLogits } from "./forward.ts";
import type { Hooks } from "./hooks.ts";
import type { Tokens } from "./tokens.ts";
import { assembleWeights, type Weights } from "./weights.ts";

/** Runs single tokens of a model. */
export interface Decoder {
  /** Moves a cache that the model filled to where the decoder reads it. */
  adopt(kvCache: KvCache): void;
  /** As `MoeModel.extend`. */
  extend(tokens: Tokens, kvCache: KvCache, hooks: Hooks): tf.Tensor2D;
  dispose(): void;
}

/**
 * A WebAssembly memory has at most 4 GiB, and its matrix products keep a second, packed copy of each weight: models up
 * to this many bytes of float32 fit with room to work.
 */
const MAX_TWIN_BYTES = 1 << 30;

/**
 * The decoder of a model. One token through a small model is many tiny operations, and each costs `tensorflow` 20 to
 * 130 µs, `wasm` 2 to 15: where the model runs on `tensorflow` and fits, a second copy of its weights on `wasm` decodes.
 */
export async function decoderOf(model: {
  config: ModelConfig;
  weights: Weights;
  params: ReadonlyMap<string, tf.Tensor>;
}): Promise<Decoder> {
  const { config, weights, params } = model;
  const bytes = [...params.values()].reduce((sum, param) => sum + 4 * param.size, 0);
  if (tf.getBackend() !== "tensorflow" || bytes > MAX_TWIN_BYTES || !(await canLoadWasm())) {
    return {
      adopt: () => {},
      extend: (tokens, kvCache, hooks) => nextLogits(tokens, weights, config, kvCache, hooks),
      dispose: () => {},
    };
  }
  return wasmTwin(config, params);
}

async function canLoadWasm(): Promise<boolean> {
  return loadBackend("wasm").then(
    () => true,
    () => false,
  );
}

function wasmTwin(config: ModelConfig, params: ReadonlyMap<string, tf.Tensor>): Decoder {
  const owned: tf.Tensor[] = [];
  const copy = (values: tf.TypedArray, shape: number[]): tf.Tensor => {
    const tensor = onBackend("wasm", () => tf.keep(tf.tensor(values, shape)));
    owned.push(tensor);
    return tensor;
  };
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
  const weights = assembleWeights(config, whole, (name, e) => experts.get(name)![e] as tf.Tensor2D);
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
    extend: (tokens, kvCache, hooks) => onBackend("wasm", () => nextLogits(tokens, weights, config, kvCache, hooks)),
    dispose: () => tf.dispose(owned),
  };
}
