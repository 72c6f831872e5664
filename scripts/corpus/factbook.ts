import { type Dice, seededDice } from "../../lib/train/corpus/dice.ts";
import { drawnPart, type Table, writtenTable } from "./structured.ts";

/** A country profile: sections of fields; a field holds its text, or is split further. */
export type Profile = Record<string, Record<string, Field>>;
interface Field {
  text?: string;
  [part: string]: Field | string | null | undefined;
}

/** Sections that hold facts, and name no person. */
const FACTS = ["Geography", "Economy", "Energy", "Communications", "Transportation"];
/** Sections with running text. */
const PROSE = ["Introduction", "Geography", "Economy", "Communications"];

/** Texts longer than this, in characters, are prose and not facts. */
const LONGEST_FACT = 150;

/** The field without its prose, or undefined where nothing is left. */
function facts(field: Field): Field | undefined {
  const parts = Object.entries(field).flatMap(([name, part]) => {
    const kept = typeof part === "string" ? (part.length > LONGEST_FACT ? undefined : part) : part && facts(part);
    return kept ? [[name, kept] as const] : [];
  });
  return parts.length > 0 ? Object.fromEntries(parts) : undefined;
}

function texts(field: Field): string[] {
  return Object.values(field).flatMap((part) => (typeof part === "string" ? [part] : part ? texts(part) : []));
}

/** The profile's facts, each section as indented JSON. */
export function profileSections(profile: Profile): { name: string; text: string }[] {
  return FACTS.flatMap((name) => {
    const section = facts(profile[name] ?? {});
    return section === undefined ? [] : [{ name, text: JSON.stringify(section, null, 2) }];
  });
}

/** The profile's prose, a paragraph a text. */
export function profileProse(profile: Profile): string {
  const all = PROSE.flatMap((section) => Object.values(profile[section] ?? {}).flatMap(texts));
  return all.filter((text) => text.length > LONGEST_FACT).join("\n\n");
}

/** A country's short values by the name of their field; of several years the latest. */
function shortValues(profile: Profile): Map<string, string> {
  const values = new Map<string, string>();
  for (const section of FACTS) {
    for (const [name, field] of Object.entries(profile[section] ?? {})) {
      const text = field.text ?? (typeof field["total"] === "object" ? field["total"]?.text : undefined);
      const latest = text
        ?.split(" ++ ")[0]!
        .replaceAll(/\s*\(.*?\)/g, "")
        .trim();
      if (latest !== undefined && latest.length <= 30) values.set(name, latest);
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
