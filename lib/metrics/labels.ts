import type { PHASES, RoutingTrace, TokenPiece } from "../trace/record.ts";
import { checkTrace } from "./checkTrace.ts";

/** A division of a trace's tokens into named groups, by which any metric of groups can ask. */
export interface Labels {
  names: string[];
  /** The group of each token, an index of names: [n_tokens]. */
  of: Int32Array;
  /** What could have been labelled otherwise: whole sequences, or single tokens. Shuffles and bootstraps keep it whole. */
  unit: "sequence" | "token";
}

/**
 * Labels the tokens of each sequence with its domain.
 * @param domains the domain of each sequence, the trace's own where absent: [n_sequences]
 * @throws RangeError where there is not one for each sequence
 * @example domainLabels(trace, ["prose", "code", "prose", "code"]).names // ["prose", "code"]
 */
export function domainLabels(trace: RoutingTrace, domains: readonly string[] = trace.domains ?? []): Labels {
  const nSequences = trace.sequenceOffsets.length - 1;
  if (domains.length !== nSequences)
    throw new RangeError(
      `domainLabels: there must be one domain for each sequence (${nSequences}), got ${domains.length}`,
    );
  return labelled("domainLabels", trace, "sequence", ({ sequence }) => domains[sequence]!);
}

/**
 * Labels tokens by windows of the trace, to see drift: tokens 0 … size−1, size … 2·size−1 and so on, across sequences;
 * the last window may be shorter.
 */
export function windowLabels(trace: RoutingTrace, size: number): Labels {
  if (!Number.isInteger(size) || size < 1)
    throw new RangeError(`windowLabels: size must be a whole number of at least 1, got ${size}`);
  const last = trace.tokenIds.length - 1;
  return labelled("windowLabels", trace, "token", ({ token }) => {
    const from = token - (token % size);
    return spanName(from, Math.min(from + size - 1, last));
  });
}

/** Labels tokens by their position in the sequence, in spans that double: 0, 1, 2–3, 4–7, 8–15 … */
export function positionLabels(trace: RoutingTrace): Labels {
  return labelled("positionLabels", trace, "token", ({ position }) => {
    const from = position === 0 ? 0 : 2 ** Math.floor(Math.log2(position));
    return spanName(from, Math.max(from, 2 * from - 1));
  });
}

const PHASE_NAMES: typeof PHASES = ["prefill", "decode"];

/**
 * Labels tokens by when they were routed: with their prompt ("prefill"), or on their own after the model had produced them
 * ("decode").
 * @throws RangeError for a trace whose recorder kept no phases
 */
export function phaseLabels(trace: RoutingTrace): Labels {
  checkTrace("phaseLabels", trace, "phases");
  return labelled("phaseLabels", trace, "token", ({ token }) => PHASE_NAMES[trace.phases![token]!]!);
}

/**
 * Labels tokens by the kind of their text: "special" tokens; "partial" where the bytes end inside a character; "space";
 * "word" for letters after a space, "subword" for letters that continue; "number"; "punctuation"; else "mixed".
 * @throws RangeError for a trace without text
 */
export function tokenClassLabels(trace: RoutingTrace): Labels {
  checkTrace("tokenClassLabels", trace, "pieces");
  return labelled("tokenClassLabels", trace, "token", ({ token }) => tokenClass(trace.pieces![token]!));
}

function tokenClass({ text, special }: TokenPiece): string {
  if (special) return "special";
  if (text === null) return "partial";
  if (/^\s*$/.test(text)) return "space";
  if (/^\s+[\p{L}\p{M}]+$/u.test(text)) return "word";
  if (/^[\p{L}\p{M}]+$/u.test(text)) return "subword";
  if (/^\s*\p{N}+$/u.test(text)) return "number";
  if (/^\s*[\p{P}\p{S}]+\s*$/u.test(text)) return "punctuation";
  return "mixed";
}

function spanName(from: number, to: number): string {
  return from === to ? `${from}` : `${from}–${to}`;
}

interface Place {
  token: number;
  sequence: number;
  position: number;
}

/** Names in order of first appearance. */
function labelled(where: string, trace: RoutingTrace, unit: Labels["unit"], nameOf: (at: Place) => string): Labels {
  checkTrace(where, trace);
  const numbers = new Map<string, number>();
  const of = new Int32Array(trace.tokenIds.length);
  for (let sequence = 0; sequence + 1 < trace.sequenceOffsets.length; sequence++) {
    const start = trace.sequenceOffsets[sequence]!;
    for (let token = start; token < trace.sequenceOffsets[sequence + 1]!; token++) {
      const name = nameOf({ token, sequence, position: trace.positions?.[token] ?? token - start });
      if (!numbers.has(name)) numbers.set(name, numbers.size);
      of[token] = numbers.get(name)!;
    }
  }
  return { names: [...numbers.keys()], of, unit };
}

/**
 * Checks that labels belong to a trace.
 * @throws RangeError
 */
export function checkLabels(where: string, trace: RoutingTrace, { names, of }: Labels): void {
  if (of.length !== trace.tokenIds.length)
    throw new RangeError(
      `${where}: there must be one label for each token (${trace.tokenIds.length}), got ${of.length}`,
    );
  const stray = of.find((label) => label < 0 || label >= names.length);
  if (stray !== undefined)
    throw new RangeError(`${where}: a label must be from 0 to ${names.length - 1}, got ${stray}`);
  const empty = names.findIndex((_, label) => !of.includes(label));
  if (empty >= 0) throw new RangeError(`${where}: every label must have a token, got none for "${names[empty]}"`);
}
