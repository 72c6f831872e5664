import { finite, isByLayer, linesOf, type TrainingHistory } from "./trainingHistory.ts";

/** What the training curves draw. */
export interface TrainingCurvesData {
  /** First and last step, and number of steps, behind each point: [n_points]. */
  first: number[];
  last: number[];
  nSteps: number[];
  panels: CurvePanel[];
}

export interface CurvePanel {
  name: string;
  baseline: { value: number; name: string } | null;
  lines: CurveLine[];
}

export interface CurveLine {
  /** The model's layer number, or null for a quantity of the whole model. */
  layer: number | null;
  /** Mean, lowest and highest value behind each point; NaN where nothing was measured: [n_points]. */
  mean: Float64Array;
  low: Float64Array;
  high: Float64Array;
}

/** Points of all lines that one figure can hold within 300 kB. */
const MOST_POINTS = 2600;

/** Least pixels between points; steps that are closer are drawn as one. */
const CLOSEST = 2;

/** Where the steps lie: steps that share a point, and each point's place in pixels from the left of a panel. */
export interface Points {
  room: number;
  /** The point of each step: [n_steps]. */
  of: number[];
  xs: number[];
  /** Every place has a point. */
  dense: boolean;
}

/** @param room width of a panel in pixels */
export function pointsOf({ steps, curves }: TrainingHistory, room: number, logSteps: boolean): Points {
  const nLines = curves.reduce((sum, { values }) => sum + linesOf(values).length, 0);
  const nPlaces = Math.floor(Math.min(room / CLOSEST, MOST_POINTS / nLines));
  const place = scaleOf(steps, room, logSteps);
  const all = Array.from(steps, place);
  const places = all.map((x) => Math.min(Math.floor((x / room) * nPlaces), nPlaces - 1));
  const taken = [...new Set(places)];
  const xs = taken.map((p) => {
    const own = all.filter((_, i) => places[i] === p);
    return own.reduce((sum, x) => sum + x, 0) / own.length;
  });
  const of = places.map((p) => taken.indexOf(p));
  return { room, of, xs, dense: taken.length === nPlaces };
}

/** From a step to pixels from the left of a panel. */
export function scaleOf(steps: ArrayLike<number>, room: number, logSteps: boolean): (step: number) => number {
  const at = (step: number): number => (logSteps ? Math.log(step) : step);
  const [from, to] = [at(steps[0]!), at(steps[steps.length - 1]!)];
  return (step) => (to > from ? ((at(step) - from) / (to - from)) * room : room / 2);
}

/** The numbers of each point: mean, lowest and highest of the steps behind it. */
export function gatherPoints({ steps, curves, layers }: TrainingHistory, { of, xs }: Points): TrainingCurvesData {
  const behind = xs.map((): number[] => []);
  for (const [i, point] of of.entries()) behind[point]!.push(i);
  const lineOf = (values: ArrayLike<number>, layer: number | null): CurveLine => {
    const seen = behind.map((own) => finite(own.map((i) => values[i]!)));
    const over = (f: (numbers: number[]) => number): Float64Array =>
      Float64Array.from(seen, (numbers) => (numbers.length === 0 ? Number.NaN : f(numbers)));
    return {
      layer,
      mean: over((numbers) => numbers.reduce((sum, x) => sum + x, 0) / numbers.length),
      low: over((numbers) => Math.min(...numbers)),
      high: over((numbers) => Math.max(...numbers)),
    };
  };
  return {
    first: behind.map((own) => steps[own[0]!]!),
    last: behind.map((own) => steps[own.at(-1)!]!),
    nSteps: behind.map((own) => own.length),
    panels: curves.map(({ name, values, baseline }) => ({
      name,
      baseline: baseline ?? null,
      lines: linesOf(values).map((line, l) => lineOf(line, isByLayer(values) ? (layers?.[l] ?? l) : null)),
    })),
  };
}
