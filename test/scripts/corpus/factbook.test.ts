import { describe, expect, test } from "vitest";
import { countryTables, type Profile, profileProse, profileSections } from "../../../scripts/corpus/factbook.ts";

const prose = "A long account of the land. ".repeat(10).trim();
const profile = (i: number): Profile => ({
  Introduction: { Background: { text: prose } },
  Geography: { Area: { total: { text: `${i} sq km` }, note: { text: prose } }, Coastline: { text: `${i} km (2013)` } },
  Government: { "Chief of state": { text: "Somebody" } },
  Energy: { Oil: { text: `${i} bbl/day ++ 7 bbl/day` }, Gas: { text: prose } },
});

describe("a country profile", () => {
  test("gives its facts without prose and without naming anyone", () => {
    expect(profileSections(profile(5)).map(({ name, text }) => [name, JSON.parse(text) as unknown])).toEqual([
      ["Geography", { Area: { total: { text: "5 sq km" } }, Coastline: { text: "5 km (2013)" } }],
      ["Energy", { Oil: { text: "5 bbl/day ++ 7 bbl/day" } }],
    ]);
  });

  test("gives its prose without facts", () => {
    expect(profileProse(profile(5))).toBe(`${prose}\n\n${prose}`);
  });
});

test("tables compare the latest short values, and are the same for the same seed", () => {
  const countries = new Map(Array.from({ length: 30 }, (_, i) => [`Country ${i}`, profile(i)]));
  const tables = countryTables(countries, 20, 3);
  expect(tables).toEqual(countryTables(countries, 20, 3));
  expect(tables.join()).not.toContain("++");
  expect(tables.join()).not.toContain("long account");
  for (const table of tables) {
    const [, country, value] = /Country (\d+)\b[\s\S]*?(\d+) (?:sq km|km|bbl\/day)/.exec(table)!;
    expect(value).toBe(country);
  }
});
