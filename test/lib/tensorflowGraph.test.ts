import * as tf from "@tensorflow/tfjs";
import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../lib/backend.ts";
import { TensorflowGraph } from "../../lib/tensorflowGraph.ts";

const FLOAT = { T: "float32" } as const;

describe("a graph of the tensorflow backend", () => {
  beforeAll(async () => {
    await useBackend("tensorflow");
  });

  test("runs on inputs of any length, in the order in which they were declared, and leaves its outputs alone", () => {
    const graph = new TensorflowGraph();
    const [a, b] = [graph.input(), graph.input()];
    const difference = graph.node("Sub", [a, b], FLOAT);
    const run = graph.load([difference, graph.node("Mul", [difference, graph.number(2)], FLOAT)]);
    const before = tf.memory().numTensors;
    for (const [first, second, expected] of [
      [
        [5, 7],
        [1, 2],
        [4, 5],
      ],
      [[3], [4], [-1]],
      [[], [], []],
    ] as const) {
      const inputs = [tf.tensor1d([...first]), tf.tensor1d([...second])];
      const [once, twice] = run(inputs);
      expect([...once!.dataSync()]).toEqual(expected);
      expect([...twice!.dataSync()]).toEqual(expected.map((x) => 2 * x));
      tf.dispose([...inputs, once!, twice!]);
    }
    expect(tf.memory().numTensors).toBe(before);
  });

  test("takes whole numbers, axes and operations of several outputs", () => {
    const graph = new TensorflowGraph();
    const [x, sizes] = [graph.input("int32"), graph.input("int32")];
    const parts = graph.nodes("SplitV", [x, sizes, graph.axis(0)], { T: "int32", Tlen: "int32", num_split: 3 }, 3);
    const run = graph.load([
      graph.node("Neg", [parts[2]!], { T: "int32" }),
      graph.node("Neg", [parts[0]!], { T: "int32" }),
    ]);
    tf.tidy(() => {
      const outputs = run([tf.tensor1d([1, 2, 3, 4], "int32"), tf.tensor1d([1, 0, 3], "int32")]);
      expect(outputs.map((output) => [...output.dataSync()])).toEqual([[-2, -3, -4], [-1]]);
      expect(outputs.map(({ dtype }) => dtype)).toEqual(["int32", "int32"]);
    });
  });

  test("rounds as single operations do: numbers in it are not regrouped", () => {
    const graph = new TensorflowGraph();
    const x = graph.input();
    const cubed = graph.node("Mul", [graph.node("Mul", [x, x], FLOAT), x], FLOAT);
    const run = graph.load([graph.node("Mul", [cubed, graph.number(0.044715)], FLOAT)]);
    tf.tidy(() => {
      const values = tf.linspace(-3, 3, 61);
      expect(run([values])[0]!.dataSync()).toEqual(values.mul(values).mul(values).mul(0.044715).dataSync());
    });
  });

  test("that TensorFlow does not take is refused in its own words, whether it is loaded or run", () => {
    const unknown = new TensorflowGraph();
    const output = unknown.node("NoSuchOperation", [unknown.input()], FLOAT);
    expect(() => unknown.load([output])).toThrow("NoSuchOperation");
    const graph = new TensorflowGraph();
    const run = graph.load([graph.node("MatMul", [graph.input(), graph.input()], FLOAT)]);
    tf.tidy(() => {
      expect(() => run([tf.zeros([2, 3]), tf.zeros([2, 3])])).toThrow("[2,3]");
    });
  });

  test("says what is wrong where no file can be written", () => {
    const graph = new TensorflowGraph();
    const output = graph.node("Neg", [graph.input()], FLOAT);
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = "/no/such/folder";
    try {
      expect(() => graph.load([output])).toThrow(
        /^backend: tensorflow needs a folder for temporary files that can be written to, got "ENOENT.*no\/such\/folder/,
      );
    } finally {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    }
  });
});
