import { readdirSync, readFileSync } from "node:fs";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { seeded } from "../../../lib/metrics/random.ts";
import type { RoutingTrace } from "../../../lib/trace/record.ts";
import { mean, randomTrace } from "./traces.ts";

const folder = new URL("../../../lib/metrics/", import.meta.url);
const files = readdirSync(folder).filter((name) => name.endsWith(".ts"));
const examples = files.flatMap((file) =>
  [...readFileSync(new URL(file, folder), "utf8").matchAll(/@example (.*)/g)].map(([, line]) => {
    const [code, comment = ""] = line!.split(" // ");
    return { file, code: code!, stated: /^-?\d+(\.\d+)?/.exec(comment)?.[0] };
  }),
);

/** A trace that has everything, so that every metric can be asked. */
function fullTrace(seed: number): RoutingTrace {
  const uniform = seeded(seed);
  const [nTokens, layers] = [240, [0, 7, 15]];
  return randomTrace(
    { nExperts: 16, topK: 4, nTokens, layers, seed },
    {
      sequenceOffsets: Int32Array.from([0, 60, 120, 180, 240]),
      domains: ["prose", "code", "prose", "code"],
      pieces: Array.from({ length: nTokens }, (_, t) => {
        return { id: t % 9, bytes: new Uint8Array(), text: [" the", "ing", "12", "."][t % 4]!, special: false };
      }),
      tokenIds: Int32Array.from({ length: nTokens }, (_, t) => t % 9),
      routerProbs: Float32Array.from({ length: nTokens * layers.length * 16 }, uniform),
    },
  );
}

test("every example in a docstring runs, and gives the number that it states", async () => {
  const modules = await Promise.all(files.map((file) => import(new URL(file, folder).href) as Promise<object>));
  const outputs = { nExperts: 2, topK: 1, indices: [0, 1], weights: [1, 1], outputs: [3, 4] };
  const [trace, early] = [fullTrace(1), fullTrace(2)];
  const [x, y] = [Float64Array.of(-1, 0, 1), Float64Array.of(0, 0, 3)];
  const [a, b] = [Float32Array.of(1, 0, 0, 1), Float32Array.of(0, 1, 1, 0)];
  const [before, after] = [x, y].map((values) => Array.from({ length: 20 }, (_, i) => values[i % 3]!));
  const losses = { perToken: Float32Array.of(1, 2, 3), offsets: Int32Array.of(0, 1, 3), mean: 2 };
  const given = { trace, early, outputs, x, y, nTokens: 3, a, b, dFf: 2, before, after, mean, Float32Array };
  const changes = Float64Array.from({ length: 20 }, (_, i) => (i * 7) % 11);
  const ablations = {
    kinds: [{ changes }],
    perDocument: Float64Array.of(9, 8, 7, 6, 5),
    nExperts: 4,
    tokens: [4, 1, 3, 2],
  };
  const run = { lossOf: () => losses, model: null, texts: [], hooks: {}, ablations };
  const scope = Object.assign(given, run, ...modules) as object;
  expect(examples.length).toBeGreaterThan(30);
  for (const { file, code, stated } of examples) {
    const result: unknown = runInNewContext(code, { ...scope });
    expect(result, `${file}: ${code}`).toBeDefined();
    if (stated !== undefined)
      expect(result, `${file}: ${code}`).toBeCloseTo(Number(stated), stated.split(".")[1]?.length ?? 6);
  }
});
