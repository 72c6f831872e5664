import { keep, type Tensor } from "@tensorflow/tfjs";
import { type Axis, checkShape, type Shape } from "./axes.ts";
import type { ActivationCache } from "./cache.ts";
import type { ModelConfig } from "./config.ts";
import { ShapeError } from "./errors.ts";
import {
  axisSizes,
  type BlockHook,
  HOOKS,
  type HookFn,
  type HookName,
  type HookSpec,
  type Hooks,
  hookName,
  hookNames,
  patternOf,
  unknownHook,
} from "./hooks.ts";

/** Which activations of a run go into which cache. */
export interface Kept<Name extends string = HookName> {
  names: ReadonlySet<Name>;
  cache: ActivationCache<Name>;
}

/** The hooks that a run of a model has. */
export interface HookTable<Name extends string> {
  /** Every one of them. */
  names(): readonly Name[];
  /** A message for a name that is none of them. */
  unknown(name: string): string;
  /** Shape and type of what passes a hook, its block's number (null outside the blocks), and the sizes of its axes. */
  at(name: Name): HookSpec & { layer: number | null; sizes: Partial<Record<Axis, number>> };
}

/**
 * The hooks of one run. The model computes with batch and position as one axis; hooks see them apart, in the declared
 * shape. A value that nobody listens to passes through untouched and costs nothing.
 */
export class HookRun<Name extends string> {
  readonly #hooks: ReadonlyMap<string, readonly HookFn<Name>[]>;
  readonly #table: HookTable<Name>;
  readonly #kept: Kept<Name> | null;

  /**
   * @param kept what to keep, as hooks leave it; null: nothing
   * @throws RangeError for a name that is no hook of the model, with near names
   */
  constructor(table: HookTable<Name>, hooks: Hooks<Name>, kept: Kept<Name> | null) {
    const entries = Object.entries<HookFn<Name> | readonly HookFn<Name>[] | undefined>(hooks).map(
      ([name, fn]) => [name, typeof fn === "function" ? [fn] : (fn ?? [])] as const,
    );
    if (entries.length > 0) checkNames(table, entries);
    this.#hooks = new Map(entries.filter(([, list]) => list.length > 0));
    this.#table = table;
    this.#kept = kept;
  }

  /** Whether anybody listens to this hook. */
  wants(name: Name): boolean {
    return this.#hooks.has(name) || this.#kept?.names.has(name) === true;
  }

  /** Whether functions listen, which may replace the value; what is only kept needs none. */
  calls(name: Name): boolean {
    return this.#hooks.has(name);
  }

  /**
   * Shows a value to its hooks and returns it, or what they replaced it with, in the value's own shape.
   * @throws ShapeError for a replacement of another shape or type, TypeError for one that is no tensor
   */
  tap<T extends Tensor>(name: Name, value: T): T {
    if (!this.wants(name)) return value;
    const { shape, dtype, layer, sizes } = this.#table.at(name);
    const context = { name, layer };
    const seen: Tensor = value.reshape(resolved(shape, sizes, value));
    let current = seen;
    for (const hook of this.#hooks.get(name) ?? []) {
      const replacement: unknown = hook(current, context);
      if (replacement === undefined) continue;
      current = checkReplacement(name, replacement, shape, dtype, sizes, seen);
    }
    // What was shown is a tensor of its own; a replacement may be the caller's to dispose.
    if (this.#kept?.names.has(name) === true) this.#kept.cache.adopt(name, current === seen ? seen : current.clone());
    return current === seen ? value : current.reshape<T>(value.shape);
  }
}

/** The hooks of one run of a decoder. */
export class Taps extends HookRun<HookName> {
  /**
   * @param batch sequences of this run
   * @param pos tokens of each sequence in this run
   * @param past tokens that a key-value cache already holds
   * @param kept what to keep, as hooks leave it; null: nothing
   * @throws RangeError for a name that is no hook of the model, with near names
   */
  constructor(
    config: ModelConfig,
    hooks: Hooks,
    { batch, pos, past }: { batch: number; pos: number; past: number },
    kept: Kept | null = null,
  ) {
    const ofRun = { batch, pos, q_pos: pos, k_pos: past + pos };
    const at: HookTable<HookName>["at"] = (name) => {
      const layer = layerOf(name);
      return { ...HOOKS[patternOf(name)!], layer, sizes: { ...axisSizes(config, layer ?? 0), ...ofRun } };
    };
    super({ names: () => hookNames(config), unknown: (name) => unknownHook(name, config), at }, hooks, kept);
  }
}

/** A declared shape in numbers; an axis that no size is known of is the first of the value's. */
function resolved(shape: Shape, sizes: Partial<Record<Axis, number>>, value: Tensor): number[] {
  return shape.map((axis) => (typeof axis === "number" ? axis : (sizes[axis] ?? value.shape[0])));
}

/** The hooks of one block: names without their `blocks.{l}.`. */
export class BlockTaps {
  readonly #taps: Taps;
  readonly layer: number;

  constructor(taps: Taps, layer: number) {
    this.#taps = taps;
    this.layer = layer;
  }

  wants(hook: BlockHook): boolean {
    return this.#taps.wants(hookName(this.layer, hook));
  }

  calls(hook: BlockHook): boolean {
    return this.#taps.calls(hookName(this.layer, hook));
  }

  tap<T extends Tensor>(hook: BlockHook, value: T): T {
    return this.#taps.tap(hookName(this.layer, hook), value);
  }
}

/** Sets values aside instead of showing them; they are the caller's to show, and to dispose. */
export class ValuesAside extends BlockTaps {
  readonly values: [BlockHook, Tensor][] = [];

  override tap<T extends Tensor>(hook: BlockHook, value: T): T {
    if (this.wants(hook)) this.values.push([hook, keep(value.clone())]);
    return value;
  }
}

function layerOf(name: string): number | null {
  const match = /^blocks\.(\d+)\./.exec(name);
  return match === null ? null : Number(match[1]);
}

function checkNames(table: HookTable<string>, entries: readonly (readonly [string, unknown])[]): void {
  const known = new Set<string>(table.names());
  for (const [name, hook] of entries) {
    if (!known.has(name)) throw new RangeError(table.unknown(name));
    if (!Array.isArray(hook) || hook.some((fn) => typeof fn !== "function"))
      throw new TypeError(`hooks: ${name} must be a function or a list of functions, got ${typeof hook}`);
  }
}

function isTensor(value: unknown): value is Tensor {
  return typeof value === "object" && value !== null && "dataId" in value && "shape" in value;
}

function checkReplacement(
  name: string,
  replacement: unknown,
  shape: Shape,
  dtype: string,
  sizes: Partial<Record<Axis, number>>,
  seen: Tensor,
): Tensor {
  if (!isTensor(replacement)) {
    const what = replacement instanceof Promise ? "a promise (hooks are synchronous)" : typeof replacement;
    throw new TypeError(`hook ${name}: must return a tensor or nothing, got ${what}`);
  }
  checkShape(`hook ${name}`, replacement.shape, shape, { ...sizes, n_routed: seen.shape[0] });
  if (replacement.dtype !== dtype)
    throw new ShapeError(`hook ${name}: type must be ${dtype}, got ${replacement.dtype}`);
  return replacement;
}
