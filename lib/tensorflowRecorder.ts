import * as tf from "@tensorflow/tfjs";
import {
  type GraphAttribute,
  type GraphAttributes,
  type GraphValue,
  type LoadedGraph,
  TensorflowGraph,
} from "./tensorflowGraph.ts";

type Info = tf.TensorInfo;

interface Attribute {
  name: string;
  type: number;
  value: unknown;
}

/** What this uses of tfjs-node's backend, whose own type is not exported. */
interface Backend {
  binding: Record<"TF_ATTR_TYPE" | "TF_ATTR_INT" | "TF_ATTR_BOOL" | "TF_ATTR_STRING", number>;
  executeSingleOutput(operation: string, attributes: readonly Attribute[], inputs: readonly Info[]): Info;
  executeMultipleOutputs(
    operation: string,
    attributes: readonly Attribute[],
    inputs: readonly Info[],
    outputs: number,
  ): Info[];
  readSync(dataId: object): unknown;
  incRef(dataId: object): void;
  disposeData(dataId: object): void;
}

/** Where a graph's input comes from: one of those that are named at each replay, a weight, or a number that the code wrote. */
type Source = number | tf.Tensor | Info;

/** An operation, with its inputs: `i3` is the graph's fourth input, `5:1` the second output of the sixth operation. */
interface Step {
  operation: string;
  attributes: Record<string, GraphAttribute | null>;
  inputs: string[];
  outputs: number;
}

/** What recordings have in common that differ only in weights and numbers: the blocks of a model, texts of other lengths. */
class Structure {
  readonly #steps: readonly Step[];
  readonly #types: readonly tf.DataType[];
  readonly #outputs: readonly string[];
  #graph: LoadedGraph | null = null;

  constructor(steps: readonly Step[], types: readonly tf.DataType[], outputs: readonly string[]) {
    this.#steps = steps;
    this.#types = types;
    this.#outputs = outputs;
  }

  run(inputs: readonly Info[]): tf.Tensor[] {
    this.#graph ??= this.#load();
    const all = this.#graph(inputs);
    tf.dispose(all.slice(this.#outputs.length));
    return all.slice(0, this.#outputs.length);
  }

  #load(): LoadedGraph {
    const graph = new TensorflowGraph();
    const values = new Map<string, GraphValue>();
    for (const [i, dtype] of this.#types.entries()) values.set(`i${i}`, graph.input(dtype));
    for (const [s, { operation, attributes, inputs, outputs }] of this.#steps.entries()) {
      const from = inputs.map((input) => values.get(input)!);
      for (const [i, value] of graph.nodes(operation, from, attributes as GraphAttributes, outputs).entries())
        values.set(`${s}:${i}`, value);
    }
    // TensorFlow would make division by a root a product with its inverse, which rounds otherwise, unless the root is asked for.
    const roots = [...this.#steps.entries()].filter(([, { operation }]) => operation === "Sqrt").map(([s]) => `${s}:0`);
    return graph.load([...this.#outputs, ...roots].map((place) => values.get(place)!));
  }
}

/** By what they consist of. */
const structures = new Map<string, Structure>();

/** Beyond so many, nothing of a new structure is recorded: a loaded graph takes about a megabyte. */
const MOST_STRUCTURES = 64;

function structureOf(
  steps: readonly Step[],
  types: readonly tf.DataType[],
  outputs: readonly string[],
): Structure | null {
  const key = JSON.stringify([steps, types, outputs]);
  const known = structures.get(key);
  if (known !== undefined || structures.size >= MOST_STRUCTURES) return known ?? null;
  const structure = new Structure(steps, types, outputs);
  structures.set(key, structure);
  return structure;
}

/**
 * The operations of a function, as they ran once: they can run again on other inputs of the same shapes, in one graph and to
 * the same bits.
 */
export class Recording {
  readonly #structure: Structure;
  readonly #sources: readonly Source[];

  private constructor(structure: Structure, sources: readonly Source[]) {
    this.#structure = structure;
    this.#sources = sources;
  }

  /**
   * Runs a function of tensors, and records it. There is no recording of one that reads numbers, or returns what it was given.
   * @param weights tensors that are there as long as the recording is
   */
  static make(
    inputs: readonly tf.Tensor[],
    weights: Iterable<tf.Tensor>,
    f: () => tf.Tensor[],
  ): { outputs: tf.Tensor[]; recording: Recording | null } {
    const backend = tf.backend() as unknown as Backend;
    const given = new Map<object, Source>([...weights].map((weight) => [weight.dataId, weight]));
    for (const [i, { dataId }] of inputs.entries()) given.set(dataId, i);
    const places = new Map<object, string>();
    const [steps, sources, types] = [[] as Step[], [] as Source[], [] as tf.DataType[]];
    let possible = true;
    const placeOf = ({ dataId, shape, dtype }: Info): string => {
      const known = places.get(dataId);
      if (known !== undefined) return known;
      const place = `i${sources.length}`;
      places.set(dataId, place);
      types.push(dtype);
      if (!given.has(dataId)) backend.incRef(dataId);
      sources.push(given.get(dataId) ?? { dataId, shape, dtype });
      return place;
    };
    const add: Report = (operation, settings, from, made) => {
      const attributes = Object.fromEntries(settings.map((one) => [one.name, attributeOf(backend, one)]));
      if (Object.values(attributes).includes(null)) possible = false;
      steps.push({ operation, attributes, inputs: from.map(placeOf), outputs: made.length });
      for (const [i, { dataId }] of made.entries()) places.set(dataId, `${steps.length - 1}:${i}`);
    };
    const restore = watch(backend, add, () => {
      possible = false;
    });
    let outputs: tf.Tensor[];
    try {
      outputs = f();
    } catch (error) {
      release(sources);
      throw error;
    } finally {
      restore();
    }
    const ends = outputs.map(({ dataId }) => places.get(dataId) ?? "i");
    const structure = possible && !ends.some((end) => end.startsWith("i")) ? structureOf(steps, types, ends) : null;
    if (structure !== null) return { outputs, recording: new Recording(structure, sources) };
    release(sources);
    return { outputs, recording: null };
  }

  /** Runs the same operations on other inputs. */
  replay(inputs: readonly tf.Tensor[]): tf.Tensor[] {
    return this.#structure.run(this.#sources.map((source) => (typeof source === "number" ? inputs[source]! : source)));
  }

  /** Lets go of the numbers that it holds. */
  dispose(): void {
    release(this.#sources);
  }
}

/** Lets go of what is neither given at each replay nor a weight. */
function release(sources: readonly Source[]): void {
  const backend = tf.findBackend("tensorflow") as unknown as Backend;
  for (const source of sources)
    if (typeof source !== "number" && !(source instanceof tf.Tensor)) backend.disposeData(source.dataId);
}

function attributeOf({ binding }: Backend, { type, value }: Attribute): GraphAttribute | null {
  if (type === binding.TF_ATTR_TYPE) return { type: value as number };
  if (type === binding.TF_ATTR_INT) return value as number;
  if (type === binding.TF_ATTR_BOOL) return Boolean(value);
  return type === binding.TF_ATTR_STRING ? { text: value as string } : null;
}

type Report = (
  operation: string,
  attributes: readonly Attribute[],
  inputs: readonly Info[],
  outputs: readonly Info[],
) => void;

/** Reports every operation, and readings of numbers, until the returned function is called. */
function watch(backend: Backend, add: Report, onRead: () => void): () => void {
  const execute = backend.executeSingleOutput.bind(backend);
  const executeAll = backend.executeMultipleOutputs.bind(backend);
  const read = backend.readSync.bind(backend);
  const watched: Pick<Backend, "executeSingleOutput" | "executeMultipleOutputs" | "readSync"> = {
    executeSingleOutput: (operation, attributes, inputs) => {
      const output = execute(operation, attributes, inputs);
      add(operation, attributes, inputs, [output]);
      return output;
    },
    executeMultipleOutputs: (operation, attributes, inputs, n) => {
      const outputs = executeAll(operation, attributes, inputs, n);
      add(operation, attributes, inputs, outputs);
      return outputs;
    },
    readSync: (dataId) => {
      onRead();
      return read(dataId);
    },
  };
  const before = Object.getOwnPropertyDescriptors(backend);
  Object.assign(backend, watched);
  return () => {
    for (const name of Object.keys(watched) as (keyof typeof watched)[]) {
      Reflect.deleteProperty(backend, name); // what the class has shows again
      if (before[name] !== undefined) Object.defineProperty(backend, name, before[name]);
    }
  };
}
