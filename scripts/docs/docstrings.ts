// Reads the docstrings of lib/metrics: what a function says of itself, and of the fields of what it returns.
import { readdirSync, readFileSync } from "node:fs";

const FOLDER = new URL("../../lib/metrics/", import.meta.url);

/** A function's docstring: its text, and its tags by name. */
export interface Documented {
  file: string;
  text: string;
  tags: ReadonlyMap<string, string>;
  /** The type that it returns. */
  returns: string;
}

export interface Field {
  name: string;
  text: string;
}

interface Docstrings {
  functions: ReadonlyMap<string, Documented>;
  /** The documented fields of the interface in a type, those of the interfaces that it extends included. */
  fieldsOf: (type: string) => Field[];
}

/** A comment's lines without their stars. */
function plain(comment: string): string[] {
  return comment
    .replace(/^\s*\/\*\*\s?|\s*\*\/\s*$/g, "")
    .split("\n")
    .map((line) => line.replace(/^\s*\*? ?/, ""));
}

function documented(file: string, comment: string, returns: string): Documented {
  const [text = "", ...tags] = plain(comment)
    .join("\n")
    .split(/(?:^|\n)@/);
  const joined = (lines: string): string => lines.replace(/\s*\n\s*/g, " ").trim();
  return {
    file,
    returns,
    text: joined(text),
    tags: new Map(tags.map((tag) => [/^\w+/.exec(tag)![0], joined(tag.replace(/^\w+/, ""))])),
  };
}

/** The docstrings of every file of lib/metrics. */
export function docstrings(): Docstrings {
  const functions = new Map<string, Documented>();
  const interfaces = new Map<string, { parents: string[]; fields: Field[] }>();
  for (const file of readdirSync(FOLDER).filter((name) => name.endsWith(".ts"))) {
    const source = readFileSync(new URL(file, FOLDER), "utf8");
    for (const match of source.matchAll(/(\/\*\*(?:(?!\*\/)[^])*\*\/)\nexport function (\w+)/g)) {
      const returns = /\): (.+) \{\n/.exec(source.slice(match.index))?.[1] ?? "";
      functions.set(match[2]!, documented(file, match[1]!, returns));
    }
    for (const [, name, parents = "", body] of source.matchAll(
      /export interface (\w+)(?: extends ([^{]+))? \{\n((?: {2}.*\n|\n)*)\}/g,
    ))
      interfaces.set(name!, {
        parents: parents.match(/\w+/g) ?? [],
        fields: Array.from(
          body!.matchAll(/^ {2}(\/\*\*(?:(?!\*\/)[^])*\*\/)\n {2}(\w+)\??:/gm),
          ([, comment, field]) => ({ name: field!, text: plain(comment!).join(" ").trim() }),
        ),
      });
  }
  const fieldsOf = (type: string): Field[] => {
    const own = type.match(/\w+/g)?.flatMap((name) => interfaces.get(name) ?? [])[0];
    if (own === undefined) return [];
    const all = [...own.parents.flatMap(fieldsOf), ...own.fields];
    return all.filter((field, i) => all.findLastIndex((other) => other.name === field.name) === i);
  };
  return { functions, fieldsOf };
}
