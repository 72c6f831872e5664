import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import type { ModelConfig } from "../../../lib/config.ts";
import { Sequence } from "../../../lib/decode/sequence.ts";
import { attention } from "../../../lib/ops/attention.ts";
import { relativeError, seeded, TINY } from "../../helpers.ts";

beforeAll(async () => {
  await useBackend("cpu");
});

/** Random keys or values, [n_kv_heads, tokens, d_head]. */
function random(seed: number, { nKvHeads, dHead }: ModelConfig, tokens: number): Float32Array {
  const next = seeded(seed);
  return Float32Array.from({ length: nKvHeads * tokens * dHead }, () => 4 * next() - 2);
}

/** ops/attention.ts for one query after keys and values of [n_kv_heads, length, d_head]. */
function ofTensors(
  queries: Float32Array,
  { keys, values }: { keys: Float32Array; values: Float32Array },
  { nHeads, nKvHeads, dHead, attentionScale, attentionSoftcap }: ModelConfig,
): Float32Array {
  const shape: [number, number, number, number] = [1, nKvHeads, keys.length / nKvHeads / dHead, dHead];
  const scoring = { scale: attentionScale ?? dHead ** -0.5, softcap: attentionSoftcap ?? null, mask: null };
  const z = tf.tidy(() =>
    attention(
      tf.tensor4d(queries, [1, nHeads, 1, dHead]),
      { keys: tf.tensor4d(keys, shape), values: tf.tensor4d(values, shape) },
      scoring,
      { scores: null, pattern: null },
    ),
  );
  const numbers = z.dataSync<"float32">();
  z.dispose();
  return numbers;
}

test("one key has all the attention, and of two equal ones each has half", () => {
  const config = { ...TINY, nLayers: 1, nHeads: 1, nKvHeads: 1, dHead: 2 };
  const sequence = new Sequence(config, 1);
  const z = new Float32Array(2);
  sequence.append(0, Float32Array.of(1, 2), Float32Array.of(10, 20));
  sequence.attend(0, Float32Array.of(3, -1), z);
  expect([...z]).toEqual([10, 20]);
  sequence.advance(1);
  sequence.append(0, Float32Array.of(1, 2), Float32Array.of(30, 0));
  sequence.attend(0, Float32Array.of(3, -1), z);
  expect([...z]).toEqual([20, 10]);
});

describe.each<[string, Partial<ModelConfig>]>([
  ["plain", {}],
  ["with a head for each query", { nKvHeads: 4 }],
  ["with heads wider than a turn of the loop", { dHead: 24 }],
  ["with a scale and a cap", { attentionScale: 0.9, attentionSoftcap: 1.5 }],
])("attention %s", (_, changes) => {
  const config = { ...TINY, nCtx: 64, ...changes };
  const { nHeads, nKvHeads, dHead } = config;

  test("is that of the tensors' attention, for every length while the sequence grows", () => {
    const sequence = new Sequence(config, 5);
    const before = [0, 1].map((layer) => [random(layer, config, 5), random(10 + layer, config, 5)] as const);
    for (const [layer, [keys, values]] of before.entries()) sequence.append(layer, keys, values);
    sequence.advance(5);
    for (let length = 6; length <= 64; length++) {
      const queries = Float32Array.from({ length: nHeads * dHead }, (_q, i) => Math.sin(7 * i + length));
      const found = [0, 1].map((layer) => {
        const seed = 20 + 4 * length + 2 * layer;
        sequence.append(layer, random(seed, config, 1), random(seed + 1, config, 1));
        const z = new Float32Array(queries.length);
        sequence.attend(layer, queries, z);
        return z;
      });
      sequence.advance(1);
      expect(sequence.length).toBe(length);
      for (const [layer, z] of found.entries())
        expect(relativeError(z, ofTensors(queries, sequence.read(layer), config))).toBeLessThan(2e-6);
    }
  });

  test("reads back what was written, however often it moved to a larger memory", () => {
    const [keys, values] = [random(1, config, 40), random(2, config, 40)];
    const sequence = new Sequence(config, 1);
    for (let t = 0; t < 40; t++) {
      const at = (all: Float32Array): Float32Array =>
        Float32Array.from(
          { length: nKvHeads * dHead },
          (_v, i) => all[(Math.floor(i / dHead) * 40 + t) * dHead + (i % dHead)]!,
        );
      for (const layer of [0, 1]) sequence.append(layer, at(layer === 0 ? keys : values), at(values));
      sequence.advance(1);
    }
    expect(sequence.read(0)).toEqual({ keys, values });
    expect(sequence.read(1)).toEqual({ keys: values, values });
  });
});
