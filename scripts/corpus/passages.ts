import type { Document } from "./document.ts";

/** The length of a passage, in characters. */
const SHORTEST = 300;
const LONGEST = 600;

/** Kinds whose documents make sense only from their start. */
const FROM_START = new Set(["maths", "structured"]);

/** Where the last sentence in a text ends. */
function lastSentenceEnd(text: string): number {
  return Math.max(...[". ", "? ", "! ", "。"].map((end) => text.lastIndexOf(end))) + 1;
}

/** Whether a text lists the same thing over and over: lines that start alike. */
function isMonotonous(text: string): boolean {
  const starts = text.split("\n").flatMap((line) => line.trim().slice(0, 6) || []);
  return new Set(starts).size < 0.7 * starts.length;
}

/**
 * A passage of a document: whole lines, or whole sentences where the lines are long, from a third into the document
 * (from its start where the kind needs it). Null where the document has none of the right length, or a dull one.
 */
export function passageOf({ kind, text }: Pick<Document, "kind" | "text">): string | null {
  const blocks = text.split("\n\n");
  const rest = blocks.slice(FROM_START.has(kind) ? 0 : Math.floor(blocks.length / 3)).join("\n\n");
  const window = rest.slice(0, LONGEST);
  const lineEnd = rest.length <= LONGEST ? window.length : window.lastIndexOf("\n");
  const passage = window.slice(0, lineEnd >= SHORTEST ? lineEnd : lastSentenceEnd(window)).replaceAll(/^\n+|\s+$/g, "");
  if (passage.length < SHORTEST) return null;
  return kind !== "structured" && isMonotonous(passage) ? null : passage;
}

/** Up to `most` passages of held-out documents, at first one from each source. */
export function passages(documents: readonly Document[], most = 4): Document[] {
  const found = documents.flatMap((document) => {
    const text = passageOf(document);
    return text === null ? [] : [{ ...document, text }];
  });
  const rank = (source: string, before: number): number =>
    found.slice(0, before).filter((one) => one.source === source).length;
  return found
    .map((passage, i) => ({ passage, round: rank(passage.source, i) }))
    .toSorted((a, b) => a.round - b.round)
    .slice(0, most)
    .map(({ passage }) => passage);
}
