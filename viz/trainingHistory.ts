import { ShapeError, shown } from "../lib/errors.ts";

/** A quantity over the steps of a run. */
export interface Curve {
  /** What it is and in which unit: "cross-entropy, nats a token". */
  name: string;
  /** A number for each step, [n_steps], or for each layer and step, [n_layers][n_steps]; NaN where it was not measured. */
  values: ArrayLike<number> | readonly ArrayLike<number>[];
  /** A value to compare with, drawn as a dashed line. */
  baseline?: { value: number; name: string };
}

/** Curves that were measured at the same steps. */
export interface TrainingHistory {
  /** Rising: [n_steps]. */
  steps: ArrayLike<number>;
  curves: readonly Curve[];
  /** The model's layer number of each line of a curve by layer; 0, 1, 2 … where absent. */
  layers?: readonly number[];
}

/** Panels and lines of a panel that one figure can hold within 300 kB. */
const MOST_PANELS = 8;
const MOST_LINES = 64;

/** @throws ShapeError for values that do not fit the steps; RangeError for what no panel can show */
export function checkHistory({ steps, curves, layers }: TrainingHistory, logSteps: boolean): void {
  const where = "trainingCurves";
  const n = steps.length;
  if (n === 0) throw new RangeError(`${where}: steps must hold at least one step, got none`);
  for (let i = 0; i < n; i++)
    if (!Number.isFinite(steps[i]) || (i > 0 && steps[i]! <= steps[i - 1]!))
      throw new RangeError(`${where}: steps must rise, got ${steps[i]} at ${i}`);
  if (logSteps && steps[0]! <= 0) throw new RangeError(`${where}: steps must be above 0 for logSteps, got ${steps[0]}`);
  if (curves.length === 0 || curves.length > MOST_PANELS)
    throw new RangeError(
      `${where}: curves must be 1 to ${MOST_PANELS}, got ${curves.length}; show the rest in further figures`,
    );
  for (const { name, values } of curves) {
    const lines = linesOf(values);
    if (lines.length === 0 || lines.length > MOST_LINES)
      throw new RangeError(
        `${where}: values of ${shown(name)} must have 1 to ${MOST_LINES} layers, got ${lines.length}`,
      );
    if (isByLayer(values) && layers !== undefined && layers.length !== lines.length)
      throw new ShapeError(
        `${where}: layers must name the ${lines.length} layers of ${shown(name)}, got ${layers.length}`,
      );
    for (const line of lines) {
      if (line.length !== n)
        throw new ShapeError(`${where}: values of ${shown(name)} must be [n_steps] = [${n}], got ${line.length}`);
      const wrong = Array.from(line).find((value) => Math.abs(value) === Infinity);
      if (wrong !== undefined)
        throw new RangeError(`${where}: values of ${shown(name)} must be finite or NaN, got ${wrong}`);
    }
    if (lines.every((line) => finite(line).length === 0))
      throw new RangeError(`${where}: values of ${shown(name)} must hold a number, got none`);
  }
}

/** Whether a curve has a line for each layer. */
export function isByLayer(values: Curve["values"]): values is readonly ArrayLike<number>[] {
  return typeof values[0] === "object";
}

/** The lines of a curve: one, or one a layer. */
export function linesOf(values: Curve["values"]): readonly ArrayLike<number>[] {
  return isByLayer(values) ? values : [values];
}

/** The numbers that were measured. */
export function finite(values: ArrayLike<number>): number[] {
  return Array.from(values).filter((value) => !Number.isNaN(value));
}
