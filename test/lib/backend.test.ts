import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type BackendName, loadBackend, onBackend, useBackend } from "../../lib/backend.ts";
import { ConfigError } from "../../lib/errors.ts";
import { seeded } from "../helpers.ts";

type Op = () => tf.Tensor | tf.Tensor[];

/** A tensor of the given shape, the same numbers in [-1, 1) wherever it is asked for. */
function some(...shape: number[]): tf.Tensor {
  const random = seeded(shape.length);
  return tf.tensor(
    Float32Array.from({ length: tf.util.sizeFromShape(shape) }, () => 2 * random() - 1),
    shape,
  );
}
const ints = (...values: number[]): tf.Tensor1D => tf.tensor1d(values, "int32");

/** Scores of 4 queries by 6 keys, of which the later ones are masked. */
function masked(): tf.Tensor {
  const visible = Array.from({ length: 24 }, (_, i) => i % 6 <= Math.floor(i / 6));
  return tf.where(tf.tensor(visible, [4, 6], "bool"), some(4, 6), tf.scalar(-Infinity));
}

function topkOf(x: tf.Tensor, k: number): tf.Tensor[] {
  const { values, indices } = tf.topk(x, k);
  return [values, indices];
}

/** The ops that a transformer's forward pass is made of. */
const OPS: Record<string, Op> = {
  "softmax with masked scores": () => tf.softmax(masked()),
  "softmax of large scores": () => tf.softmax(tf.mul(some(3, 40), 200)),
  "log softmax": () => tf.logSoftmax(some(3, 40)),
  "log-sum-exp": () => tf.logSumExp(some(3, 40), -1),
  "top-k": () => topkOf(some(2, 5, 16), 4),
  "top-k of equal values": () => topkOf(tf.tensor2d([[1, 3, 3, 2, 3, 0]]), 4),
  "top-k of everything": () => topkOf(some(3, 8), 8),
  "gather of rows": () => tf.gather(some(6, 8), ints(5, 0, 5)),
  "gather along the middle axis": () =>
    tf.gather(
      some(2, 3, 5),
      tf.tensor2d(
        [
          [1, 0],
          [2, 2],
        ],
        [2, 2],
        "int32",
      ),
      1,
    ),
  "gather along the last axis": () => tf.gather(some(2, 3, 5), ints(4, 1), 2),
  "gather of whole numbers": () => tf.gather(ints(7, 8, 9), ints(2, 0)),
  "gather of truth values": () => tf.gather(tf.tensor1d([true, false, true], "bool"), ints(2, 1)),
  "gather of no rows": () => tf.gather(some(6, 8), tf.tensor1d([], "int32")),
  "gather with a batch axis": () => tf.gather(some(2, 3, 5), tf.tensor2d([[1], [2]], [2, 1], "int32"), 1, 1),
  "segment sums": () => tf.unsortedSegmentSum(some(6, 8), ints(2, 0, 2, 1, 0, 2), 4),
  "segment sums of a vector": () => tf.unsortedSegmentSum(some(5), ints(1, 1, 0, 3, 3), 4),
  "running sums": () => [tf.cumsum(some(2, 3, 5), 1), tf.cumsum(some(2, 3), 1, true), tf.cumsum(ints(1, 2, 3))],
  choices: () => tf.where(tf.greater(some(2, 3), 0), some(2, 3), tf.scalar(-Infinity)),
  concatenation: () => tf.concat([some(2, 3, 5), some(2, 1, 5)], 1),
  "splits and slices": () => [...tf.split(some(6, 8), [2, 5, 1], 1), tf.slice(some(2, 3, 5), [0, 1, 2], [2, 2, 2])],
  "slices of whole numbers": () => tf.slice(ints(1, 2, 3, 4), 1, 2),
  "stacks and unstacks": () => [tf.stack([some(2, 3), some(2, 3)], 1), ...tf.unstack(some(2, 3, 5), 1)],
  transposition: () => tf.transpose(some(2, 3, 4, 5), [0, 2, 1, 3]),
  broadcasting: () => [
    tf.add(some(2, 3, 5), some(5)),
    tf.mul(some(2, 3, 5), some(3, 1)),
    tf.sub(some(2, 1), some(2, 3)),
  ],
  "mean and variance": () => Object.values(tf.moments(some(2, 3, 5), -1, true)),
  reductions: () => [tf.sum(some(2, 3, 5), [0, 1]), tf.max(some(2, 3, 5), -1), tf.argMax(some(2, 3, 5), -1)],
  norms: () => [tf.norm(some(2, 3, 5), 1, -1, true), tf.norm(some(2, 3, 5), 2, -1, true)],
  "pointwise functions": () =>
    [tf.exp, tf.sigmoid, tf.tanh, tf.erf, tf.cos, tf.sin, tf.square, tf.abs, tf.neg].map((f) => f(some(2, 3, 5))),
  "roots and logarithms": () => [tf.sqrt, tf.rsqrt, tf.log].map((f) => f(tf.add(tf.abs(some(2, 3, 5)), 0.1))),
  clamping: () => tf.clipByValue(some(2, 3, 5), -0.3, 0.3),
  "whole-number arithmetic": () => [tf.floorDiv(ints(0, 5, 33), ints(16)), tf.mod(ints(0, 5, 33), ints(16))],
  "one-hot rows": () => [tf.oneHot(ints(2, -1, 5), 5), tf.oneHot(ints(2, 0, 4), 5, 0.9, 0.1, "float32")],
  "scattered rows": () => tf.scatterND(tf.tensor2d([[1], [4]], [2, 1], "int32"), some(2, 4), [6, 4]),
  comparisons: () => [tf.equal(ints(1, 2), ints(2)), tf.lessEqual(some(2, 3), 0), tf.logicalNot(tf.less(some(2), 0))],
};

/** The functions whose gradient training takes, with the shapes of their arguments. */
const DIFFERENTIABLE: Record<string, [(...x: tf.Tensor[]) => tf.Tensor, ...number[][]]> = {
  softmax: [(x) => tf.softmax(x), [2, 3, 5]],
  "softmax of masked scores": [(x) => tf.softmax(tf.add(x, masked())), [4, 6]],
  "log softmax": [(x) => tf.logSoftmax(x), [2, 3, 5]],
  "gather of rows": [(x) => tf.gather(x, ints(5, 0, 5, 2)), [6, 8]],
  "gather along the last axis": [(x) => tf.gather(x, ints(4, 1, 1), 2), [2, 3, 5]],
  "layer norm": [
    (x, gain) => {
      const { mean, variance } = tf.moments(x, -1, true);
      return tf.mul(tf.mul(tf.sub(x, mean), tf.rsqrt(tf.add(variance, 1e-5))), gain);
    },
    [2, 3, 5],
    [5],
  ],
  silu: [(x) => tf.mul(x, tf.sigmoid(x)), [2, 3, 5]],
  clamping: [(x) => tf.clipByValue(x, -0.3, 0.3), [2, 3, 5]],
  choices: [(x) => tf.where(tf.greater(some(2, 3, 5), 0), x, tf.zerosLike(x)), [2, 3, 5]],
  "division by the p-norm": [(x) => tf.div(x, tf.norm(x, 2, -1, true)), [2, 3, 5]],
  "log-sum-exp": [(x) => tf.square(tf.logSumExp(x, -1)), [2, 3, 5]],
  "splits and concatenation": [(x) => tf.concat(tf.split(x, [2, 3], 2).toReversed(), 2), [2, 3, 5]],
  "transposition and reshape": [(x) => tf.reshape(tf.transpose(x, [1, 0, 2]), [6, 5]), [2, 3, 5]],
  slices: [(x) => tf.slice(x, [0, 1, 1], [2, 2, 3]), [2, 3, 5]],
  broadcasting: [(x, y) => tf.mul(x, y), [2, 3, 5], [3, 1]],
  "segment sums": [(x) => tf.unsortedSegmentSum(x, ints(2, 0, 2, 1, 0, 2), 4), [6, 8]],
};

const flips = [false, true];
/** Every product's shapes: few and many rows, with and without batch axes, one operand shared, an empty operand. */
const PRODUCTS = flips.flatMap((transposeA) =>
  flips.flatMap((transposeB) =>
    [1, 3, 9, 40].flatMap((m) =>
      [
        [[], []],
        [[3], [3]],
        [[1], [3]],
        [[3], [1]],
        [
          [2, 3],
          [2, 3],
        ],
      ].flatMap(([batchA, batchB]) =>
        [
          [5, 7],
          [33, 41],
          [0, 3],
          [3, 0],
        ].map(([k, n]) => ({
          a: [...batchA!, ...(transposeA ? [k!, m] : [m, k!])],
          b: [...batchB!, ...(transposeB ? [n!, k!] : [k!, n!])],
          transposeA,
          transposeB,
        })),
      ),
    ),
  ),
);

/** What an op gives on a backend, as plain data. */
function result(backend: BackendName, op: Op): { shape: number[]; dtype: string; values: ArrayLike<number> }[] {
  return onBackend(backend, () => {
    tf.engine().startScope();
    const made = [op()].flat().map((x) => ({ shape: x.shape, dtype: x.dtype, values: x.dataSync() }));
    tf.engine().endScope();
    return made;
  });
}

function expectSame(backend: BackendName, op: Op): void {
  const actual = result(backend, op);
  for (const [i, expected] of result("cpu", op).entries()) {
    expect(actual[i]).toMatchObject({ shape: expected.shape, dtype: expected.dtype });
    for (let j = 0; j < expected.values.length; j++) expect(actual[i]!.values[j]).toBeCloseTo(expected.values[j]!, 4);
  }
}

/** The gradient of a weighted sum of f's numbers, the weights all different. */
function gradient(f: (...x: tf.Tensor[]) => tf.Tensor, shapes: number[][]): Op {
  const weighted = (...x: tf.Tensor[]): tf.Tensor => {
    const y = f(...x);
    return tf.sum(tf.mul(y, tf.sin(tf.reshape(tf.range(1, y.size + 1), y.shape))));
  };
  return () => tf.grads(weighted)(shapes.map((shape) => some(...shape)));
}

// TensorFlow's library may be absent; WebAssembly and plain JavaScript never are.
const tensorflow = await loadBackend("tensorflow").then(
  () => true,
  () => false,
);
const backends: BackendName[] = tensorflow ? ["tensorflow", "wasm"] : ["wasm"];

beforeAll(async () => {
  for (const name of [...backends, "cpu"] as const) await loadBackend(name);
});

describe.each(backends)("on %s", (backend) => {
  test.each(Object.entries(OPS))("%s: the numbers of plain JavaScript", (_, op) => expectSame(backend, op));

  test.each(Object.entries(DIFFERENTIABLE))("%s: the gradient of plain JavaScript", (_, [f, ...shapes]) =>
    expectSame(backend, gradient(f, shapes)),
  );

  test("products are those of plain JavaScript, batched, transposed, shared and empty", () => {
    for (const { a, b, transposeA, transposeB } of PRODUCTS)
      expectSame(backend, () => tf.matMul(some(...a), some(...b), transposeA, transposeB));
  });

  test("products have the gradients of plain JavaScript, batched and transposed", () => {
    for (const transposeA of flips)
      for (const transposeB of flips)
        for (const batch of [[], [3], [2, 3]]) {
          const shapes = [
            [...batch, ...(transposeA ? [5, 9] : [9, 5])],
            [...batch, ...(transposeB ? [7, 5] : [5, 7])],
          ];
          expectSame(
            backend,
            gradient((a, b) => tf.matMul(a, b, transposeA, transposeB), shapes),
          );
        }
  });

  test("a gather beyond the rows is an error", () => {
    for (const index of [-1, 6]) expect(() => result(backend, () => tf.gather(some(6, 8), ints(0, index)))).toThrow();
  });
});

test("on wasm, thousands of products and gathers with their gradients leave nothing behind", () => {
  const { wasm } = tf.findBackend("wasm") as unknown as { wasm: { HEAPU8: Uint8Array } };
  onBackend("wasm", () => {
    const x = some(4, 40, 64);
    const w = some(4, 48, 64);
    const rows = ints(...Array.from({ length: 40 }, (_, i) => (7 * i) % 4));
    const step = tf.grads((a, b) => {
      const few = tf.matMul(tf.slice(a, [0, 0, 0], [4, 10, 64]), b, false, true); // so few rows that they are transposed
      return tf.add(tf.sum(tf.gather(tf.matMul(a, b, false, true), rows)), tf.sum(few));
    });
    const run = (times: number): void => {
      for (let i = 0; i < times; i++) tf.dispose(step([x, w]));
    };
    run(20);
    const before = { tensors: tf.memory().numTensors, bytes: wasm.HEAPU8.byteLength };
    run(1000);
    expect({ tensors: tf.memory().numTensors, bytes: wasm.HEAPU8.byteLength }).toEqual(before);
    tf.dispose([x, w, rows]);
  });
});

test("on wasm, a product whose second operand has changed is computed anew", () => {
  const identityThenZero = onBackend("wasm", () => {
    const a = some(2, 9, 9);
    return [tf.stack([tf.eye(9), tf.eye(9)]), tf.zeros([2, 9, 9])].map((b) => {
      const product = Array.from(tf.matMul(a, b).dataSync());
      b.dispose();
      return { product, a: Array.from(a.dataSync()) };
    });
  });
  expect(identityThenZero[0]!.product).toEqual(identityThenZero[0]!.a);
  expect(identityThenZero[1]!.product).toEqual(Array(162).fill(0));
});

test("on wasm, batch axes that broadcast in part are refused rather than computed wrongly", () => {
  expect(() => result("wasm", () => tf.matMul(some(2, 1, 9, 4), some(2, 3, 4, 5)))).toThrow(
    "matMul: batch axes must be equal or 1 on wasm, got [2,1,9,4] and [2,3,4,5]",
  );
});

test("a backend that is made current stays current while another computes", async () => {
  expect(await useBackend("cpu")).toBe("cpu");
  expect(await useBackend("cpu")).toBe("cpu");
  await loadBackend("wasm");
  expect(tf.getBackend()).toBe("cpu");
  const seen = onBackend("wasm", () => tf.getBackend());
  expect([seen, tf.getBackend()]).toEqual(["wasm", "cpu"]);
  expect(() =>
    onBackend("wasm", () => {
      throw new Error("stop");
    }),
  ).toThrow("stop");
  expect(tf.getBackend()).toBe("cpu");
});

test("two backends that load at the same time do not disturb the current one", async () => {
  await useBackend("cpu");
  await Promise.all([loadBackend("wasm"), useBackend("cpu"), loadBackend("wasm")]);
  expect(tf.getBackend()).toBe("cpu");
});

test("a backend that nobody has heard of is an error that lists the three", async () => {
  await expect(useBackend("gpu" as BackendName)).rejects.toThrow(
    new ConfigError('useBackend: the backend must be one of tensorflow, wasm, cpu, got "gpu"'),
  );
});

describe("where tfjs-node is not installed", () => {
  const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
  const folder = mkdtempSync(join(tmpdir(), "moescope-backend-"));
  afterAll(() => rmSync(folder, { recursive: true }));

  beforeAll(() => {
    writeFileSync(join(folder, "package.json"), '{"type": "module"}');
    writeFileSync(
      join(folder, "main.ts"),
      `import { useBackend } from "./lib/backend.ts";
      useBackend().then(console.log, (e) => console.log(e.name + ": " + e.message));`,
    );
    for (const file of ["backend.ts", "tensorflowKernels.ts", "wasmKernels.ts", "errors.ts"])
      cpSync(join(root, "lib", file), join(folder, "lib", file));
    mkdirSync(join(folder, "node_modules/@tensorflow"), { recursive: true });
    for (const name of ["@tensorflow/tfjs", "@tensorflow/tfjs-backend-wasm"])
      symlinkSync(join(root, "node_modules", name), join(folder, "node_modules", name));
  });

  /** Runs `useBackend()` in a process of its own: what it printed, or the message of its error. */
  function chosen(forced: string): { stdout: string; stderr: string } {
    const loader = pathToFileURL(createRequire(import.meta.url).resolve("tsx")).href;
    return spawnSync(process.execPath, ["--import", loader, "main.ts"], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, MOESCOPE_BACKEND: forced },
    });
  }

  test("WebAssembly serves, without a word", () => {
    expect(chosen("")).toMatchObject({ stdout: "wasm\n", stderr: "" });
  });

  test("a backend can be forced", () => {
    expect(chosen("cpu")).toMatchObject({ stdout: "cpu\n", stderr: "" });
  });

  test("forcing tensorflow is an error that says why and what would help", () => {
    expect(chosen("tensorflow").stdout).toBe(
      "ConfigError: backend: tensorflow must load, got \"Cannot find module '@tensorflow/tfjs-node'\"; " +
        "`npm run setup` builds @tensorflow/tfjs-node; wasm works without it\n",
    );
  });

  test("forcing a backend that nobody has heard of is an error that lists the three", () => {
    expect(chosen("webgpu").stdout).toBe(
      'ConfigError: MOESCOPE_BACKEND: the backend must be one of tensorflow, wasm, cpu, got "webgpu"\n',
    );
  });
});
