import { readdirSync, readFileSync } from "node:fs";
import { basename, join, relative } from "node:path";
import { gunzipSync } from "node:zlib";
import { grouped, interfaceText, isGenerated, unwrapped, withoutNotices } from "./clean.ts";
import { countryTables, type Profile, profileProse, profileSections } from "./factbook.ts";
import {
  htmlParagraphs,
  osisChapters,
  poTranslations,
  quotedStrings,
  rStrings,
  stringValues,
  swordBooks,
} from "./formats.ts";

/** A text as it is found in a package, before cleaning. */
export interface Found {
  /** Unique within the package. */
  name: string;
  text: string;
}

/** The texts in an extracted package. */
export type Reader = (folder: string) => Found[];

type IsTranslated = (text: string) => boolean;

/** Every file below `folder` that ends in one of `endings`, in the order of their paths. */
function filesBelow(folder: string, endings: readonly string[]): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && endings.some((ending) => entry.name.endsWith(ending)))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}

/** Source files written by people, without tests, declarations and licence comments. */
export const code =
  (below: string, ...endings: string[]): Reader =>
  (root) => {
    const folder = join(root, below);
    return filesBelow(folder, endings)
      .filter(
        (path) =>
          !/\.d\.ts$|[./_]tests?[./_]|__tests__|\.(spec|bench)\.|migrations|\/locales?\//.test(relative(folder, path)),
      )
      .map((path) => ({ name: relative(folder, path), text: withoutNotices(readFileSync(path, "utf8")) }))
      .filter(({ text }) => text.length > 300 && !isGenerated(text));
  };

/** Novels kept as R character vectors, a line each; a chapter is a document. */
export const novels: Reader = (folder) => {
  const database = filesBelow(folder, ["Rdata.rdb"])[0]!;
  return rStrings(readFileSync(database)).flatMap((lines) => {
    const body = lines.join("\n");
    const title = body.trim().split("\n")[0]!;
    return body
      .split(/\n(?=(?:chapter|volume)\b[^\n]{0,80}\n)/i)
      .map((chapter, i) => ({ name: `${title}, part ${i}`, text: unwrapped(chapter.replaceAll("_", "")) }))
      .filter(({ text }) => text.length > 1500);
  });
};

/** A dictionary in dictd's form whose entries start at the margin, grouped into documents. */
export const lexicon: Reader = (folder) => {
  const path = filesBelow(folder, [".dict.dz"])[0]!;
  const text = gunzipSync(readFileSync(path)).toString("utf8");
  const entries = text.slice(text.indexOf("PREFACE")).split(/\n(?=[A-Z'-]{2,}\S*, )/);
  return grouped(entries.map((entry) => `${unwrapped(entry.replaceAll("_", ""))}\n`)).map((group, i) => ({
    name: `${basename(path)}#${i}`,
    text: group,
  }));
};

/** A SWORD module of a translated Bible; a chapter is a document. */
export const scripture: Reader = (folder) =>
  filesBelow(folder, [".bzs"]).flatMap((index) =>
    swordBooks(readFileSync(index), readFileSync(index.replace(/s$/, "z"))).flatMap(osisChapters),
  );

interface ElectronPage {
  href: string;
  html: string;
}

/** Electron's documentation in one language: the paragraphs that are translated. */
export const electron =
  (locale: string, isTranslated: IsTranslated): Reader =>
  (folder) => {
    const pages = JSON.parse(readFileSync(join(folder, "package/dist/docs.json"), "utf8")) as Record<
      string,
      Record<string, ElectronPage>
    >;
    return Object.values(pages[locale]!).map(({ href, html }) => ({
      name: href,
      text: htmlParagraphs(html)
        .filter((text) => text.length > 12 && isTranslated(text))
        .join("\n\n"),
    }));
  };

/** Sentences of a user interface in one language, grouped into documents. */
function sentences(name: string, texts: readonly string[], isTranslated: IsTranslated): Found[] {
  const kept = new Set(texts.map(interfaceText).filter((text) => text.length >= 14 && isTranslated(text)));
  return grouped([...kept]).map((text, i) => ({ name: `${name}#${i}`, text }));
}

/** A code editor's sentences in a language pack. */
export function editorPack(isTranslated: IsTranslated): Reader {
  return (folder) => {
    const main = join(folder, "package/translations/main.i18n.json.js");
    const extensions = filesBelow(join(folder, "package/translations/extensions"), [".json"]);
    return [
      ...sentences("editor", quotedStrings(readFileSync(main, "utf8")), isTranslated),
      ...extensions.flatMap((path) => {
        const { contents } = JSON.parse(readFileSync(path, "utf8")) as { contents: unknown };
        return sentences(basename(path, ".i18n.json"), stringValues(contents), isTranslated);
      }),
    ];
  };
}

/** A compiler's messages in one language. */
export function compilerMessages(language: string, isTranslated: IsTranslated): Reader {
  return (folder) => {
    const messages: unknown = JSON.parse(
      readFileSync(join(folder, `package/lib/${language}/diagnosticMessages.generated.json`), "utf8"),
    );
    return sentences("compiler", stringValues(messages), isTranslated);
  };
}

/** A package's gettext catalogues in one language. */
export function catalogues(language: string, isTranslated: IsTranslated): Reader {
  return (folder) =>
    filesBelow(folder, [".po"])
      .filter((path) => path.includes(`locale/${language}/`))
      .flatMap((path) => sentences(relative(folder, path), poTranslations(readFileSync(path, "utf8")), isTranslated));
}

/** JupyterLab's sentences in a language pack. */
export function notebookPack(isTranslated: IsTranslated): Reader {
  return (folder) =>
    filesBelow(folder, ["jupyterlab.json"]).flatMap((path) =>
      sentences("notebook", stringValues(JSON.parse(readFileSync(path, "utf8"))), isTranslated),
    );
}

function profiles(folder: string): Map<string, Profile> {
  const countries = new Map<string, Profile>();
  for (const path of filesBelow(join(folder, "package"), [".json"])) {
    const profile = JSON.parse(readFileSync(path, "utf8")) as Profile;
    const short = (
      profile["Government"]?.["Country name"]?.["conventional short form"] as { text?: string } | undefined
    )?.text;
    if (short !== undefined && short !== "none") countries.set(short, profile);
  }
  return countries;
}

/** Browser compatibility of one feature group (two levels down), as indented JSON. */
export const compatibility: Reader = (folder) => {
  const data = JSON.parse(readFileSync(join(folder, "package/data.json"), "utf8")) as Record<
    string,
    Record<string, Record<string, unknown>>
  >;
  return ["css", "html", "http", "svg"].flatMap((area) =>
    Object.entries(data[area]!).flatMap(([group, features]) =>
      Object.entries(features)
        .filter(([feature]) => feature !== "__compat")
        .map(([feature, value]) => ({
          name: `${area}.${group}.${feature}`,
          text: JSON.stringify({ [feature]: value }, null, 2),
        })),
    ),
  );
};

/** Factual sections of country profiles, as JSON. */
export const countryFacts: Reader = (folder) =>
  [...profiles(folder)].flatMap(([country, profile]) =>
    profileSections(profile).map(({ name, text }) => ({ name: `${country}: ${name}`, text })),
  );

/** Tables that compare countries, made from their profiles. */
export const countryComparisons =
  (tables: number, seed: number): Reader =>
  (folder) =>
    countryTables(profiles(folder), tables, seed).map((text, i) => ({ name: `table ${i}`, text }));

/** The prose of country profiles. */
export const countryProse: Reader = (folder) =>
  [...profiles(folder)].map(([country, profile]) => ({ name: country, text: profileProse(profile) }));
