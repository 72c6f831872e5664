import { readFileSync } from "node:fs";

export type Json = Record<string, unknown>;

/** The published config.json of a model. */
export function published(name: string): Json {
  const url = new URL(`../../golden/families/published/${name}/config.json`, import.meta.url);
  return JSON.parse(readFileSync(url, "utf8")) as Json;
}

/** The same with other fields; undefined takes a field out. */
export function changed(name: string, fields: Json): Json {
  return JSON.parse(JSON.stringify({ ...published(name), ...fields })) as Json;
}
