import { listed } from "../lib/errors.ts";
import { checkTrace } from "../lib/metrics/checkTrace.ts";
import type { RoutingTrace } from "../lib/trace/record.ts";
import { maybeWhole, maybeWindow, type WindowOptions, windowText } from "./options.ts";
import { showId, showToken, type Token } from "./tokens.ts";

/** Which part of a trace a view draws. */
export interface TraceWindowOptions extends WindowOptions {
  /** Which of the trace's sequences; 0 where absent. `start` and `end` count from its first token. */
  sequence?: number;
}

/** A part of one sequence of a trace. */
export interface TraceWindow {
  /** Position of the first token in the sequence. */
  start: number;
  /** Row of the trace at which the window starts, and the rows there are. */
  first: number;
  nTokens: number;
  tokens: Token[];
  /** How the window is stated, such as `tokens 0–511 of 2,048`. */
  text: string;
}

/**
 * Finds a window in a trace.
 * @param most tokens that the view can hold
 * @param larger what makes room for more, or null where nothing does
 * @throws RangeError for a sequence or a window that does not exist, or one beyond the budget; ShapeError for a trace whose
 * arrays do not fit together
 */
export function traceWindow(
  where: string,
  trace: RoutingTrace,
  options: TraceWindowOptions,
  most: number,
  larger: string | null = null,
): TraceWindow {
  checkTrace(where, trace);
  const nSequences = trace.sequenceOffsets.length - 1;
  const sequence = maybeWhole(where, "sequence", options.sequence, 0, Math.max(0, nSequences - 1), 0);
  const [from, to] = [trace.sequenceOffsets[sequence] ?? 0, trace.sequenceOffsets[sequence + 1] ?? 0];
  const [start, end] = maybeWindow(where, options, to - from, most, larger);
  const first = from + start;
  const tokens = Array.from({ length: end - start }, (_, i) => {
    const piece = trace.pieces?.[first + i];
    return piece === undefined ? showId(trace.tokenIds[first + i]!) : showToken(piece);
  });
  const text = windowText(start, end, to - from);
  return {
    start,
    first,
    nTokens: end - start,
    tokens,
    text: nSequences > 1 ? `${text}, sequence ${sequence} of ${nSequences}` : text,
  };
}

/**
 * The row of a layer in a trace.
 * @param layer the model's layer number; the first traced layer where absent
 * @throws RangeError for a layer that was not traced
 */
export function layerRow(where: string, layers: readonly number[], layer: number | undefined): number {
  const row = layers.indexOf(layer ?? layers[0] ?? Number.NaN);
  if (row < 0) throw new RangeError(`${where}: layer must be one of ${listed(layers) || "no layers"}, got ${layer}`);
  return row;
}
