import { expect, test } from "vitest";
import { seededDice } from "../../../lib/train/corpus/dice.ts";
import {
  csvTable,
  drawnPart,
  jsonTable,
  markdownTable,
  type Table,
  yamlTable,
} from "../../../scripts/corpus/structured.ts";

const TABLE: Table = {
  title: "Big cats",
  columns: ["Cat", "kg"],
  rows: [
    ["Lion", "190"],
    ['"Big" one, tall', "-3.5"],
  ],
};

test("a Markdown table has a title, a rule and columns of one width", () => {
  expect(markdownTable(TABLE)).toBe(
    '# Big cats\n\n| Cat             | kg   |\n| --------------- | ---- |\n| Lion            | 190  |\n| "Big" one, tall | -3.5 |',
  );
});

test("comma-separated values are quoted where they need it", () => {
  expect(csvTable(TABLE)).toBe('Cat,kg\nLion,190\n"""Big"" one, tall",-3.5');
});

test("YAML records quote what is not plain", () => {
  expect(yamlTable(TABLE)).toBe('big_cats:\n  - Cat: Lion\n    kg: 190\n  - Cat: "\\"Big\\" one, tall"\n    kg: -3.5');
});

test("JSON records have numbers where the cell is one", () => {
  expect(JSON.parse(jsonTable(TABLE))).toEqual([
    { Cat: "Lion", kg: 190 },
    { Cat: '"Big" one, tall', kg: -3.5 },
  ]);
});

test("a drawn part keeps the first two columns, and its cells are the table's", () => {
  const table: Table = {
    title: "t",
    columns: ["name", "a", "b", "c"],
    rows: Array.from({ length: 30 }, (_, row) => ["name", "a", "b", "c"].map((column) => `${column}${row}`)),
  };
  for (let seed = 0; seed < 50; seed++) {
    const { columns, rows } = drawnPart(table, seededDice(seed));
    expect(columns.slice(0, 2)).toEqual(["name", "a"]);
    expect(rows.length).toBeGreaterThanOrEqual(5);
    for (const row of rows) expect(row).toEqual(columns.map((column) => row[0]!.replace("name", column)));
  }
});
