import { createRequire } from "node:module";
import { dirname, sep } from "node:path";
import util from "node:util";
import * as tf from "@tensorflow/tfjs";
import type * as WasmPackage from "@tensorflow/tfjs-backend-wasm";
import { ConfigError, shown } from "./errors.ts";
import { completeTensorflowKernels } from "./tensorflowKernels.ts";
import { completeWasmKernels } from "./wasmKernels.ts";

/** Where tensors live and compute, best first: TensorFlow's C library, WebAssembly, plain JavaScript (the slow oracle). */
export const BACKENDS = ["tensorflow", "wasm", "cpu"] as const;

export type BackendName = (typeof BACKENDS)[number];

// Loading by require is synchronous, so nobody runs between a package making itself current and our undoing it.
const require = createRequire(import.meta.url);

/** What tfjs keeps about backends; it offers no public way to have one ready without making it current. */
interface Engine {
  backendName: string | undefined;
  backendInstance: tf.KernelBackend | null;
  initializeBackend(name: string): { success: boolean | Promise<boolean> };
}
const engine = tf.engine() as unknown as Engine;

/** Runs a synchronous function that may change the current backend, and changes it back. */
function keepingCurrent<T>(f: () => T): T {
  const { backendName, backendInstance } = engine;
  try {
    return f();
  } finally {
    engine.backendName = backendName;
    engine.backendInstance = backendInstance;
  }
}

function loadTensorflow(): void {
  // tfjs-node 4.22 calls two functions of node:util that warn from Node 22 on, and are gone or going after it.
  Object.assign(util, { isArray: Array.isArray, isNullOrUndefined: (x: unknown) => x === null || x === undefined });
  process.env["TF_CPP_MIN_LOG_LEVEL"] ??= "2"; // errors only
  // On processors without AVX-512 TensorFlow leaves oneDNN off, though a prefill takes 1.4 times as long without it.
  process.env["TF_ENABLE_ONEDNN_OPTS"] ??= "1";
  void require("@tensorflow/tfjs-node"); // registers itself, and makes itself current
  completeTensorflowKernels();
}

async function loadWasm(): Promise<void> {
  const { setWasmPaths } = require("@tensorflow/tfjs-backend-wasm") as typeof WasmPackage;
  setWasmPaths(dirname(require.resolve("@tensorflow/tfjs-backend-wasm")) + sep);
  const events = ["uncaughtException", "unhandledRejection"] as const;
  const before = new Set(events.flatMap((event) => process.listeners(event as never)));
  if (!(await engine.initializeBackend("wasm").success)) throw new Error("the WebAssembly module did not start");
  // The module rethrows every uncaught error of the process from inside its own minified line: take that back.
  for (const event of events)
    for (const listener of process.listeners(event as never))
      if (!before.has(listener)) process.removeListener(event, listener);
  completeWasmKernels();
}

function loadCpu(): void {
  // Its first use warns that tfjs-node would be faster.
  Object.assign(tf.findBackend("cpu"), { firstUse: false });
}

const LOADERS: Record<BackendName, () => void | Promise<void>> = {
  tensorflow: loadTensorflow,
  wasm: loadWasm,
  cpu: loadCpu,
};

const HELP: Record<BackendName, string> = {
  tensorflow: "`npm run setup` builds @tensorflow/tfjs-node; wasm works without it",
  wasm: "`npm install` brings @tensorflow/tfjs-backend-wasm; cpu works without it",
  cpu: "`npm install` brings @tensorflow/tfjs",
};

const loading = new Map<BackendName, Promise<void>>();
const loaded = new Map<BackendName, tf.KernelBackend>();

async function load(name: BackendName): Promise<void> {
  try {
    await keepingCurrent(LOADERS[name]);
    void keepingCurrent(() => tf.setBackend(name)); // sets its kernels up, before it returns
    loaded.set(name, tf.findBackend(name));
  } catch (cause) {
    const why = (cause instanceof Error ? cause.message : String(cause)).split("\n")[0];
    throw new ConfigError(`backend: ${name} must load, got "${why}"; ${HELP[name]}`, { cause });
  }
}

/**
 * Makes a backend ready for {@link onBackend} without making it current.
 * @throws ConfigError that says why it does not load and what would help
 */
export async function loadBackend(name: BackendName): Promise<void> {
  const started = loading.get(name) ?? load(name);
  loading.set(name, started);
  await started;
}

/**
 * Makes a backend current: the given one, else the one that was chosen before, else the one that MOESCOPE_BACKEND names,
 * else the first that loads.
 * @returns the backend's name
 * @throws ConfigError for a name that is none of the three, and for a chosen backend that does not load
 * @example await useBackend() // "tensorflow" where tfjs-node is installed, else "wasm"
 */
export async function useBackend(name?: BackendName): Promise<BackendName> {
  if (name !== undefined) return select(checkName("useBackend", name));
  const chosen = BACKENDS.find((backend) => backend === engine.backendName && loaded.has(backend));
  if (chosen !== undefined) return chosen;
  const forced = process.env["MOESCOPE_BACKEND"];
  if (forced) return select(checkName("MOESCOPE_BACKEND", forced));
  try {
    return await select("tensorflow");
  } catch {
    return select("wasm").catch(() => select("cpu"));
  }
}

function checkName(where: string, name: string): BackendName {
  const known = BACKENDS.find((backend) => backend === name);
  if (known === undefined)
    throw new ConfigError(`${where}: the backend must be one of ${BACKENDS.join(", ")}, got ${shown(name)}`);
  return known;
}

async function select(name: BackendName): Promise<BackendName> {
  await loadBackend(name);
  if (engine.backendName !== name) await tf.setBackend(name);
  return name;
}

/**
 * Runs a synchronous function with another backend current.
 * A tensor read by an op of another backend moves there: weights that two backends use are to be held twice.
 * @throws ConfigError for a backend that is not ready
 * @example
 * await loadBackend("wasm");
 * const squares = onBackend("wasm", () => tf.tensor1d([1, 2, 3]).square());
 */
export function onBackend<T>(name: BackendName, f: () => T): T {
  const backend = loaded.get(name);
  if (!backend) throw new ConfigError(`onBackend: ${name} must be loaded first: await loadBackend("${name}")`);
  return keepingCurrent(() => {
    // Two fields take nanoseconds to set; tf.setBackend sets every kernel up again, which takes a millisecond.
    engine.backendName = name;
    engine.backendInstance = backend;
    return f();
  });
}
