import { sha256 } from "./archives.ts";
import type { Document } from "./document.ts";

/** A number in 0..1 that depends on nothing but the document's source and name. */
function lot({ source, name }: Pick<Document, "source" | "name">): number {
  return Number.parseInt(sha256(`${source}\n${name}`).slice(0, 8), 16) / 2 ** 32;
}

/** The share of documents held out from training. */
export const HELD_OUT = 0.045;

/** Whether a document is held out: decided by its source and name alone, so that a rebuilt corpus splits alike. */
export function isHeldOut(document: Pick<Document, "source" | "name">): boolean {
  return lot(document) < HELD_OUT;
}

/** Documents longer than this, in bytes, would outweigh the others of their kind. */
const LONGEST = 100_000;

/** Another number in 0..1 of the document, unrelated to whether it is held out. */
function secondLot(document: Document): number {
  return (lot(document) * 997) % 1;
}

/**
 * As many documents as fit into `most` bytes, in their own order. Which ones stay where not all fit has nothing to do
 * with which are held out.
 */
export function selected(documents: readonly Document[], most: number): Document[] {
  const fitting = documents.filter(({ text }) => Buffer.byteLength(text) <= LONGEST);
  const kept = new Set<Document>();
  let used = 0;
  for (const document of fitting.toSorted((a, b) => secondLot(a) - secondLot(b))) {
    const size = Buffer.byteLength(document.text);
    if (used + size > most) continue;
    used += size;
    kept.add(document);
  }
  return fitting.filter((document) => kept.has(document));
}
