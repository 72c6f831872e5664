import { themed } from "./colors.ts";

/** A colour as a mark takes it. */
export interface Fill {
  /** `#rrggbb`, or a themed colour. */
  color: string;
  /** 0 to 1. */
  opacity: number;
}

/** Most opacity of a colour under text: on both grounds, ink on it keeps 4.5:1. */
export const UNDER_TEXT = 0.45;

/** Steps of a sequential scale; a step is far below what can be read off a colour, and tooltips give the number. */
const STEPS = 64;

/** A sequential scale from paper to full colour, or to as much of it as `fullest` says. */
export function scaleFills(color: string, fullest = 1): Fill[] {
  return Array.from({ length: STEPS }, (_, step) => ({ color, opacity: (fullest * step) / (STEPS - 1) }));
}

/** The step of {@link scaleFills} for a value; beyond the ends it is clipped. */
export function scaleStep(value: number, most: number): number {
  return Math.max(0, Math.min(STEPS - 1, Math.round((value / most) * (STEPS - 1))));
}

/** A diverging scale: full `negative`, over paper in the middle, to full `positive`. */
export function divergingFills(): Fill[] {
  return Array.from({ length: 2 * STEPS - 1 }, (_, i) => {
    const step = i - (STEPS - 1);
    return { color: themed(step < 0 ? "negative" : "positive"), opacity: Math.abs(step) / (STEPS - 1) };
  });
}

/** The step of {@link divergingFills} for a value; beyond −most and most it is clipped. */
export function divergingStep(value: number, most: number): number {
  const step = Math.min(STEPS - 1, Math.round((Math.abs(value) / most) * (STEPS - 1)));
  return STEPS - 1 + (value < 0 ? -step : step);
}

/** The value below which a share of the numbers lies; 1 where all are 0. */
export function quantile(values: Float32Array, share: number): number {
  return values.toSorted()[Math.ceil(share * values.length) - 1] || 1;
}
