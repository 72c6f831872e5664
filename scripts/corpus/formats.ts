import { inflateSync } from "node:zlib";

/**
 * The character vectors in an R lazy-load database (`Rdata.rdb`), one after the other. Each is a big-endian byte count
 * and a zlib stream.
 */
export function rStrings(database: Buffer): string[][] {
  const objects: string[][] = [];
  for (let start = 0; start < database.length; ) {
    const packed = database.subarray(start + 4);
    const { buffer, engine } = inflateSync(packed, { info: true }) as unknown as {
      buffer: Buffer;
      engine: { bytesWritten: number };
    };
    objects.push(characterVector(buffer));
    start += 4 + engine.bytesWritten;
  }
  return objects;
}

const STRSXP = 16;

/** The elements of a serialised character vector (R's XDR format, version 3). */
function characterVector(object: Buffer): string[] {
  let at = 14;
  const int = (): number => object.readInt32BE((at += 4) - 4);
  const encoding = int();
  at += encoding;
  const type = int() & 0xff;
  if (type !== STRSXP) throw new Error(`corpus: R object must be a character vector (${STRSXP}), got type ${type}`);
  return Array.from({ length: int() }, () => {
    int();
    const length = int();
    at += length;
    return object.toString("utf8", at - length, at);
  });
}

/** The books of a SWORD zText module: `index` holds (offset, packed size, size) triples, little-endian, into `packed`. */
export function swordBooks(index: Buffer, packed: Buffer): string[] {
  const books: string[] = [];
  for (let at = 0; at + 12 <= index.length; at += 12) {
    const offset = index.readUInt32LE(at);
    books.push(inflateSync(packed.subarray(offset, offset + index.readUInt32LE(at + 4))).toString("utf8"));
  }
  return books;
}

/** The chapters of one OSIS book as plain text: notes and headings dropped, one paragraph a line. */
export function osisChapters(book: string): { name: string; text: string }[] {
  return book
    .split(/<chapter [^>]*?osisID="/)
    .slice(1)
    .map((chapter) => {
      const body = chapter
        .slice(chapter.indexOf(">") + 1)
        .replaceAll(/<(note|title)\b[^>]*>[\s\S]*?<\/\1>/g, "")
        .replaceAll(/<(div|l|lg)\b[^>]*sID=[^>]*>/g, "\n");
      const lines = htmlDecoded(body.replaceAll(/<[^>]*>/g, "")).split("\n");
      const text = lines.map((line) => line.replaceAll(/\s+/g, " ").trim()).filter((line) => line !== "");
      return { name: chapter.slice(0, chapter.indexOf('"')), text: text.join("\n") };
    });
}

/** The translations in a gettext catalogue, in its order. */
export function poTranslations(catalogue: string): string[] {
  const joined = catalogue.replaceAll('"\n"', "");
  return [...joined.matchAll(/^msgstr(?:\[\d\])? (".*")$/gm)].map(([, text]) => String(JSON.parse(text!)));
}

/** Every quoted JSON string in a script, in its order. */
export function quotedStrings(script: string): string[] {
  return [...script.matchAll(/"(?:[^"\\\n]|\\.)*"/g)].map(([text]) => String(JSON.parse(text)));
}

/** Every string value in a JSON document, in its order. */
export function stringValues(value: unknown): string[] {
  if (typeof value === "string") return [value];
  return typeof value === "object" && value !== null ? Object.values(value).flatMap(stringValues) : [];
}

const ENTITIES: Record<string, string> = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };

function htmlDecoded(text: string): string {
  return text.replaceAll(/&(?:#(\d+)|#x([0-9a-f]+)|(\w+));/gi, (whole, decimal, hex, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    return String.fromCodePoint(decimal === undefined ? Number.parseInt(hex, 16) : Number(decimal));
  });
}

/** The running text of an HTML page, a paragraph a piece; scripts, styles and code blocks are dropped. */
export function htmlParagraphs(page: string): string[] {
  return page
    .replaceAll(/<(script|style|pre|head)\b[\s\S]*?<\/\1>/g, "")
    .split(/<\/?(?:p|h\d|li|ul|ol|div|td|tr|th|table|dt|dd|blockquote)\b[^>]*>/)
    .map((piece) =>
      htmlDecoded(piece.replaceAll(/<[^>]*>/g, ""))
        .replaceAll(/\s+/g, " ")
        .trim(),
    )
    .filter((piece) => piece !== "");
}
