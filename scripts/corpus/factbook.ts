import { type Dice, seededDice } from "../../lib/train/corpus/maths.ts";
import { drawnPart, type Table, writtenTable } from "./structured.ts";

/** A country profile: sections of fields; a field holds its text, or is split further. */
export type Profile = Record<string, Record<string, Field>>;
interface Field {
  text?: string;
  [part: string]: Field | string | null | undefined;
}

/** Sections that hold facts rather than prose, and name no person. */
const SECTIONS = ["Geography", "People and Society", "Energy", "Communications", "Transportation", "Military"];

/** The profile's factual sections, each as indented JSON. */
export function profileSections(profile: Profile): { name: string; text: string }[] {
  return SECTIONS.filter((name) => profile[name] !== undefined).map((name) => ({
    name,
    text: JSON.stringify(profile[name], null, 2),
  }));
}

/** The profile's running text: its background, its economy and the longer notes on the land. */
export function profileProse(profile: Profile): string {
  const long = ["Introduction", "Geography", "Economy", "Communications"].flatMap((section) =>
    Object.values(profile[section] ?? {}).flatMap(texts),
  );
  return long.filter((text) => text.length > 150).join("\n\n");
}

function texts(field: Field): string[] {
  return Object.values(field).flatMap((part) => (typeof part === "string" ? [part] : part ? texts(part) : []));
}

/** Short values by `section: field` for one country. */
function shortValues(profile: Profile): Map<string, string> {
  const values = new Map<string, string>();
  for (const section of SECTIONS) {
    for (const [name, field] of Object.entries(profile[section] ?? {})) {
      const text = field.text ?? (typeof field["total"] === "object" ? field["total"]?.text : undefined);
      if (text !== undefined && text.length <= 40) values.set(name, text.replaceAll(/\s*\(.*?\)/g, "").trim());
    }
  }
  return values;
}

/** Seeded tables that compare countries of one region over fields that most of them have. */
export function countryTables(countries: ReadonlyMap<string, Profile>, count: number, seed: number): string[] {
  const values = [...countries].map(([country, profile]) => ({ country, fields: shortValues(profile) }));
  const names = [...new Set(values.flatMap(({ fields }) => [...fields.keys()]))];
  const common = names.filter((name) => values.filter(({ fields }) => fields.has(name)).length > values.length / 3);
  return Array.from({ length: count }, (_, i) => {
    const dice = seededDice(seed + i);
    const table = countryTable(values, common, dice);
    return writtenTable(drawnPart(table, dice), dice);
  });
}

function countryTable(
  values: readonly { country: string; fields: ReadonlyMap<string, string> }[],
  names: readonly string[],
  dice: Dice,
): Table {
  const fields = [...new Set(Array.from({ length: dice.int(3, 7) }, () => dice.pick(names)))];
  const start = dice.int(0, values.length - 1);
  const rows = values.map((_, i) => values[(start + i) % values.length]!);
  const complete = rows.filter((row) => fields.every((field) => row.fields.has(field)));
  return {
    title: dice.pick(["Countries", "Country profiles", "Comparison of countries", fields[0]!]),
    columns: ["Country", ...fields],
    rows: complete.slice(0, 40).map((row) => [row.country, ...fields.map((field) => row.fields.get(field)!)]),
  };
}
