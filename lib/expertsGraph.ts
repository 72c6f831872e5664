import * as tf from "@tensorflow/tfjs";
import { busyExperts, type Dispatch } from "./dispatch.ts";
import { type ExpertBlock, type ExpertSettings, type ExpertStack, runBlocks, watchesExperts } from "./expertBlocks.ts";
import type { Arithmetic } from "./ops/activate.ts";
import { gated } from "./ops/gatedLinear.ts";
import type { BlockTaps } from "./taps.ts";
import { type GraphAttributes, type GraphValue, type LoadedGraph, TensorflowGraph } from "./tensorflowGraph.ts";

type Settings = ExpertSettings & { stacked: ExpertStack };

/**
 * All experts in one graph, each on exactly its rows: no row is padding, no product waits for the one before it, and what
 * lies between an expert's products stays in the processor's cache. Where hooks look inside, the same nodes run in three graphs,
 * so that watching changes no bit. There are no gradients.
 */
export function expertsInGraph(x: tf.Tensor2D, plan: Dispatch, weights: Settings, taps: BlockTaps): tf.Tensor2D {
  return watchesExperts(plan, taps) ? inSteps(x, plan, weights, taps) : atOnce(x, plan, weights);
}

function atOnce(x: tf.Tensor2D, { counts, order, topK }: Dispatch, weights: Settings): tf.Tensor2D {
  const { stacked, biases } = weights;
  const run = graphOf("experts", counts.length, weights, wholeGraph);
  const tokens = order.map((assignment) => Math.floor(assignment / topK));
  return tf.tidy(() => {
    const plan = [counts, tokens, order].map((numbers) => tf.tensor1d(numbers, "int32"));
    const matrices = PARTS.flatMap((part) => [stacked[part], ...(biases === undefined ? [] : [biases[part]])]);
    return run([x, ...plan, ...matrices])[0] as tf.Tensor2D;
  });
}

function inSteps(x: tf.Tensor2D, plan: Dispatch, weights: Settings, taps: BlockTaps): tf.Tensor2D {
  const { counts, starts, order } = plan;
  const ofAll = (values: readonly tf.Tensor[], name: string, build: Build): tf.Tensor2D =>
    tf.tidy(
      () => graphOf(name, counts.length, weights, build)([tf.tensor1d(counts, "int32"), ...values])[0] as tf.Tensor2D,
    );
  const block: ExpertBlock = {
    rows: order.length,
    runs: busyExperts(plan).map((expert) => ({ expert, start: starts[expert]!, first: 0, count: counts[expert]! })),
    product: (rows, part) => ofAll([rows, weights.stacked[part]], "product", productGraph),
    neurons: (gate, up) => ofAll([gate, up], "neurons", neuronsGraph),
  };
  return runBlocks(x, [block], plan, weights, taps);
}

const PARTS = ["gate", "up", "down"] as const;

type Build = (graph: TensorflowGraph, nExperts: number, settings: ExpertSettings) => GraphValue;

const loaded = new Map<string, LoadedGraph>();

/** A graph for so many experts with these settings, made when it is first asked for. */
function graphOf(name: string, nExperts: number, settings: ExpertSettings, build: Build): LoadedGraph {
  const { activation, gluLimit, biases } = settings;
  const key = [name, nExperts, activation, gluLimit, biases !== undefined].join();
  let run = loaded.get(key);
  if (run === undefined) {
    const graph = new TensorflowGraph();
    run = graph.load([build(graph, nExperts, settings)]);
    loaded.set(key, run);
  }
  return run;
}

/** Inputs: what all experts read, the plan, and each part's matrices and biases. */
function wholeGraph(graph: TensorflowGraph, nExperts: number, settings: ExpertSettings): GraphValue {
  const x = graph.input();
  const counts = graph.input("int32");
  const tokens = split(graph, graph.input("int32"), counts, nExperts, "int32");
  const places = split(graph, graph.input("int32"), counts, nExperts, "int32");
  const [gate, up, down] = PARTS.map(() => {
    const matrices = unstack(graph, graph.input(), nExperts);
    const biases = settings.biases && unstack(graph, graph.input(), nExperts);
    return (rows: GraphValue, e: number): GraphValue => {
      const product = times(graph, rows, matrices[e]!);
      return biases === undefined ? product : graph.node("AddV2", [product, biases[e]!], FLOAT);
    };
  }) as [OfExpert, OfExpert, OfExpert];
  const outputs = tokens.map((own, e) => {
    const rows = graph.node("GatherV2", [x, own, graph.axis(0)], {
      Tparams: "float32",
      Tindices: "int32",
      Taxis: "int32",
    });
    return down(neurons(graph, gate(rows, e), up(rows, e), settings), e);
  });
  return graph.node("ParallelDynamicStitch", [...places, ...outputs], { ...FLOAT, N: nExperts });
}

type OfExpert = (rows: GraphValue, expert: number) => GraphValue;

/** Inputs: rows of each expert, the experts' rows below each other, their matrices. */
function productGraph(graph: TensorflowGraph, nExperts: number): GraphValue {
  const counts = graph.input("int32");
  const rows = split(graph, graph.input(), counts, nExperts);
  const matrices = unstack(graph, graph.input(), nExperts);
  return join(
    graph,
    rows.map((own, e) => times(graph, own, matrices[e]!)),
  );
}

/** Inputs: rows of each expert, and what the gates and the up projections made of them. */
function neuronsGraph(graph: TensorflowGraph, nExperts: number, settings: ExpertSettings): GraphValue {
  const counts = graph.input("int32");
  const gates = split(graph, graph.input(), counts, nExperts);
  const ups = split(graph, graph.input(), counts, nExperts);
  return join(
    graph,
    gates.map((gate, e) => neurons(graph, gate, ups[e]!, settings)),
  );
}

const FLOAT: GraphAttributes = { T: "float32" };

/** By the operation that tfjs-node makes of every product: another one might round otherwise. */
function times(graph: TensorflowGraph, rows: GraphValue, matrix: GraphValue): GraphValue {
  return graph.node("BatchMatMulV2", [rows, matrix], { ...FLOAT, adj_y: true });
}

function split(
  graph: TensorflowGraph,
  rows: GraphValue,
  counts: GraphValue,
  nExperts: number,
  dtype: "float32" | "int32" = "float32",
): GraphValue[] {
  const attributes: GraphAttributes = { T: dtype, Tlen: "int32", num_split: nExperts };
  return graph.nodes("SplitV", [rows, counts, graph.axis(0)], attributes, nExperts);
}

function unstack(graph: TensorflowGraph, stack: GraphValue, nExperts: number): GraphValue[] {
  return graph.nodes("Unpack", [stack], { ...FLOAT, num: nExperts, axis: 0 }, nExperts);
}

function join(graph: TensorflowGraph, parts: readonly GraphValue[]): GraphValue {
  if (parts.length === 1) return parts[0]!; // TensorFlow joins two or more
  const attributes: GraphAttributes = { ...FLOAT, N: parts.length, Tidx: "int32" };
  return graph.node("ConcatV2", [...parts, graph.axis(0)], attributes);
}

function neurons(
  graph: TensorflowGraph,
  gate: GraphValue,
  up: GraphValue,
  { activation, gluLimit }: ExpertSettings,
): GraphValue {
  const node = (operation: string, ...inputs: (GraphValue | number)[]): GraphValue => {
    const values = inputs.map((input) => (typeof input === "number" ? graph.number(input) : input));
    return graph.node(operation, values, FLOAT);
  };
  const onNodes: Arithmetic<GraphValue> = {
    plus: (a, b) => node("AddV2", a, b),
    times: (a, b) => node("Mul", a, b),
    erf: (x) => node("Erf", x),
    sigmoid: (x) => node("Sigmoid", x),
    silu: (x) => node("SoftplusGrad", x, x), // gradients · sigmoid(features)
    tanh: (x) => node("Tanh", x),
    atMost: (x, limit) => node("Minimum", x, limit),
    within: (x, limit) => node("ClipByValue", x, -limit, limit),
  };
  return gated(gate, up, { activation, limit: gluLimit }, onNodes);
}
