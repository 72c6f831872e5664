import { deflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import {
  htmlParagraphs,
  osisChapters,
  poTranslations,
  quotedStrings,
  rStrings,
  stringValues,
  swordBooks,
} from "../../../scripts/corpus/formats.ts";

/** Big-endian 32-bit integers. */
function ints(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  values.forEach((value, i) => bytes.writeInt32BE(value, 4 * i));
  return bytes;
}

/** A character vector as R writes it with `serialize(x, NULL)`: format X, version 3, native encoding UTF-8. */
function serialized(strings: string[], type = 16): Buffer {
  const items = strings.map((text) => [ints(0x40009, Buffer.byteLength(text)), Buffer.from(text)]).flat();
  return Buffer.concat([
    Buffer.from("X\n"),
    ints(3, 0x40201, 0x30500, 5),
    Buffer.from("UTF-8"),
    ints(type, strings.length),
    ...items,
  ]);
}

function database(...objects: Buffer[]): Buffer {
  return Buffer.concat(objects.flatMap((object) => [ints(object.length), deflateSync(object)]));
}

describe("an R database", () => {
  test("gives the strings of each of its vectors", () => {
    const vectors = [["Emma", "", "by Jane Austen"], ["naïve – 日本"]];
    expect(rStrings(database(...vectors.map((strings) => serialized(strings))))).toEqual(vectors);
  });

  test("with something else than strings is an error that says so", () => {
    expect(() => rStrings(database(serialized(["x"], 14)))).toThrow("must be a character vector (16), got type 14");
  });
});

test("a SWORD module's books are cut out by its index", () => {
  const packed = ["first book", "second"].map((text) => deflateSync(Buffer.from(text)));
  const index = Buffer.alloc(24);
  index.writeUInt32LE(0, 0);
  index.writeUInt32LE(packed[0]!.length, 4);
  index.writeUInt32LE(packed[0]!.length, 12);
  index.writeUInt32LE(packed[1]!.length, 16);
  expect(swordBooks(index, Buffer.concat(packed))).toEqual(["first book", "second"]);
});

test("an OSIS chapter is its verses, a paragraph a line, without titles and notes", () => {
  const book =
    '<title level="1">Ruth</title><chapter n="1" osisID="Ruth.1" sID="a"/><title>The first</title><div sID="b" type="x-p"/>' +
    '<verse osisID="Ruth.1.1">In the days <note n="1">or: time</note>of the <w lemma="x">judges</w> &amp; after.</verse>' +
    '<div eID="b"/><div sID="c" type="x-p"/><verse osisID="Ruth.1.2">Then.</verse>' +
    '<chapter n="2" osisID="Ruth.2" sID="d"/><verse>Again.</verse>';
  expect(osisChapters(book)).toEqual([
    { name: "Ruth.1", text: "In the days of the judges & after.\nThen." },
    { name: "Ruth.2", text: "Again." },
  ]);
});

test("a gettext catalogue gives its translations, joined, unescaped and with plural forms", () => {
  const catalogue = [
    'msgid ""\nmsgstr ""\n"Language: ja\\n"',
    'msgid "Add"\nmsgstr "追加"',
    'msgid ""\n"long"\nmsgstr ""\n"one "\n"two\\n"',
    'msgid "a"\nmsgid_plural "b"\nmsgstr[0] "uno"\nmsgstr[1] "dos \\"x\\""',
  ].join("\n\n");
  expect(poTranslations(catalogue)).toEqual(["Language: ja\n", "追加", "one two\n", "uno", 'dos "x"']);
});

test("the quoted strings of a script are read as JSON strings", () => {
  expect(quotedStrings('var a = [undefined, "one", "t\\"w\\u006f", ""];')).toEqual(["one", 't"wo', ""]);
});

test("the strings of a JSON value are found at any depth", () => {
  expect(stringValues({ a: "x", b: [1, null, { c: "y" }] })).toEqual(["x", "y"]);
});

test("a page's paragraphs are its running text, without scripts, code blocks and tags", () => {
  const page =
    "<head><title>No</title></head><h1>Title</h1><p>One <b>two</b>\n&lt;three&gt; &#233;&#x65e5;</p>" +
    "<pre>code</pre><ul><li>item</li><li></li></ul><script>no()</script>";
  expect(htmlParagraphs(page)).toEqual(["Title", "One two <three> é日", "item"]);
});
