import { UNDER_TEXT } from "./scale.ts";

/** How a signed value is drawn, in the static picture and by the browser's neuron picker alike. */
export interface Shade {
  role: "positive" | "negative";
  /** 0 at zero to {@link UNDER_TEXT} at the largest size, so that text on it stays readable. */
  opacity: number;
  /** Of the line below: faint for faint values, absent at zero. */
  lineOpacity: number;
  /** Dash pattern of the line below: whole for positive, broken for negative. */
  dash: string | null;
}

/** @param most the size drawn in full; larger values are clipped */
export function shadeOf(value: number, most: number): Shade {
  const size = most > 0 ? Math.min(1, Math.abs(value) / most) : 0;
  const negative = value < 0;
  return {
    role: negative ? "negative" : "positive",
    opacity: size * UNDER_TEXT,
    lineOpacity: size && 0.3 + 0.7 * size,
    dash: negative ? "3 2" : null,
  };
}
