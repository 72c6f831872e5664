import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as tf from "@tensorflow/tfjs";
import { ConfigError } from "./errors.ts";

/** A value in a graph: the name of the node that makes it, and which of its outputs it is where it has several. */
export type GraphValue = string & { readonly ofGraph: unique symbol };

export type GraphType = "float32" | "int32";

/** A type (by name, or TensorFlow's number of it), a number, a switch, a word, or a tensor of one number. */
export type GraphAttribute = GraphType | number | boolean | { type: number } | { text: string } | { int32: number };

/** As TensorFlow's definition of an operation names them. */
export type GraphAttributes = Readonly<Record<string, GraphAttribute>>;

/** Runs a graph: a tensor for each input, in their order; one for each output comes back. */
export type LoadedGraph = (inputs: readonly tf.TensorInfo[]) => tf.Tensor[];

/** What this uses of tfjs-node's backend, whose own type is not exported. */
interface Backend {
  getDTypeInteger(dtype: tf.DataType): number;
  loadSavedModelMetaGraph(folder: string, tags: string): number;
  runSavedModel(
    id: number,
    inputs: readonly tf.TensorInfo[],
    names: readonly { name: string }[],
    outputs: readonly string[],
  ): tf.Tensor[];
}

/** A message of the package's own definitions of TensorFlow's formats, which come without types. */
type Message = Record<string, (...values: unknown[]) => unknown> & {
  getAttrMap(): { set(name: string, value: Message): void };
  serializeBinary(): Uint8Array;
};
type Messages = Record<string, (new () => Message) & Record<string, new () => Message>>;

const require = createRequire(import.meta.url);

/** The tag that a graph is saved and loaded under. */
const TAG = "serve";

/** The version of graphs that is written: of 2022 (TensorFlow 2.9), so that no later release reads it in an older manner. */
const PRODUCER = 1087;

/**
 * A graph of operations that the `tensorflow` backend runs as one. Its nodes cost microseconds each, where single operations
 * cost 0.1 ms and more, and those that do not wait for each other run side by side. Shapes are open: one graph serves all
 * lengths of text. Before its first run TensorFlow takes 0.5 to 1.5 ms a node to prepare it.
 */
export class TensorflowGraph {
  readonly #backend = tf.findBackend("tensorflow") as unknown as Backend;
  readonly #messages = require("@tensorflow/tfjs-node/dist/proto/api_pb.js") as Messages;
  readonly #nodes: Message[] = [];
  readonly #inputs: GraphValue[] = [];
  readonly #axes = new Map<number, GraphValue>();
  readonly #numbers = new Map<number, GraphValue>();

  /** A tensor that a run is given; runs take them in the order in which they were declared. */
  input(dtype: tf.DataType = "float32"): GraphValue {
    const value = this.node("Placeholder", [], { dtype: { type: this.#backend.getDTypeInteger(dtype) } });
    this.#inputs.push(value);
    return value;
  }

  /** An axis that operations work along. */
  axis(axis: number): GraphValue {
    const value = this.#axes.get(axis) ?? this.node("Const", [], { dtype: "int32", value: { int32: axis } });
    this.#axes.set(axis, value);
    return value;
  }

  /** A number to compute with. Runs are given it too: where TensorFlow knows numbers beforehand, it regroups products with them. */
  number(value: number): GraphValue {
    const input = this.#numbers.get(value) ?? this.node("Placeholder", [], { dtype: "float32" });
    this.#numbers.set(value, input);
    return input;
  }

  /**
   * An operation, by the name and attributes that TensorFlow knows it by.
   * @returns its first output
   */
  node(operation: string, inputs: readonly GraphValue[], attributes: GraphAttributes): GraphValue {
    const name = `n${this.#nodes.length}` as GraphValue;
    const node = this.#message("NodeDef", { Name: name, Op: operation, InputList: [...inputs] });
    for (const [key, value] of Object.entries(attributes)) node.getAttrMap().set(key, this.#attribute(value));
    this.#nodes.push(node);
    return name;
  }

  /** As {@link node}, of an operation with so many outputs. */
  nodes(operation: string, inputs: readonly GraphValue[], attributes: GraphAttributes, outputs: number): GraphValue[] {
    const first = this.node(operation, inputs, attributes);
    return Array.from({ length: outputs }, (_, i) => `${first}:${i}` as GraphValue);
  }

  /**
   * Hands the graph to TensorFlow, which keeps it as long as the process lives.
   * @param outputs what a run returns
   * @throws Error with TensorFlow's own words, for an operation that it does not know or that is given what it does not take
   */
  load(outputs: readonly GraphValue[]): LoadedGraph {
    const folder = temporaryFolder();
    try {
      writeFileSync(join(folder, "saved_model.pb"), this.#saved());
      const id = this.#backend.loadSavedModelMetaGraph(folder, TAG);
      const numbers = [...this.#numbers.keys()];
      const names = [...this.#inputs, ...this.#numbers.values()].map((name) => ({ name }));
      const run = (inputs: readonly tf.TensorInfo[]): tf.Tensor[] =>
        this.#backend.runSavedModel(id, [...inputs, ...numbers.map((value) => tf.scalar(value))], names, outputs);
      return (inputs) => tf.tidy(() => run(inputs));
    } finally {
      rmSync(folder, { recursive: true });
    }
  }

  #message(kind: string, fields: Record<string, unknown>): Message {
    const Kind = kind
      .split(".")
      .reduce<unknown>((at, name) => (at as Messages)[name], this.#messages) as new () => Message;
    const message = new Kind();
    for (const [field, value] of Object.entries(fields)) message[`set${field}`]!(value);
    return message;
  }

  #attribute(value: GraphAttribute): Message {
    if (typeof value === "string") return this.#message("AttrValue", { Type: this.#backend.getDTypeInteger(value) });
    if (typeof value === "number") return this.#message("AttrValue", { I: value });
    if (typeof value === "boolean") return this.#message("AttrValue", { B: value });
    if ("type" in value) return this.#message("AttrValue", { Type: value.type });
    if ("text" in value) return this.#message("AttrValue", { S: new TextEncoder().encode(value.text) });
    const tensor = this.#message("Tensor", {
      Dtype: this.#backend.getDTypeInteger("int32"),
      TensorShape: this.#message("TensorShape", {}),
      IntValList: [value.int32],
    });
    return this.#message("AttrValue", { Tensor: tensor });
  }

  #saved(): Uint8Array {
    const versions = this.#message("VersionDef", { Producer: PRODUCER });
    const graph = this.#message("GraphDef", { NodeList: this.#nodes, Versions: versions });
    const info = this.#message("MetaGraphDef.MetaInfoDef", { TagsList: [TAG] });
    const meta = this.#message("MetaGraphDef", { MetaInfoDef: info, GraphDef: graph });
    return this.#message("SavedModel", { SavedModelSchemaVersion: 1, MetaGraphsList: [meta] }).serializeBinary();
  }
}

/** For the file of a graph: tfjs-node takes graphs from files alone. */
function temporaryFolder(): string {
  try {
    return mkdtempSync(join(tmpdir(), "moescope-graph-"));
  } catch (cause) {
    const why = (cause as Error).message;
    throw new ConfigError(
      `backend: tensorflow needs a folder for temporary files that can be written to, got "${why}"`,
      {
        cause,
      },
    );
  }
}
