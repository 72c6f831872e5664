import { describe, expect, test } from "vitest";
import {
  grouped,
  interfaceText,
  isGenerated,
  isJapanese,
  isSpanish,
  tidied,
  unwrapped,
  withoutNearDuplicates,
  withoutNotices,
} from "../../../scripts/corpus/clean.ts";

test("broken lines are joined and paragraphs kept apart", () => {
  expect(unwrapped("  One\ntwo\n\n \nthree\n")).toBe("One two\n\nthree");
});

test("strings are grouped up to a size, and none is lost", () => {
  expect(grouped(["aaa", "bbb", "c"], 5)).toEqual(["aaa\nbbb", "c"]);
  expect(grouped([], 5)).toEqual([]);
});

describe("languages", () => {
  test.each(["設定を変更します。", "アプリを再起動 (restart)"])("%s is Japanese", (text) =>
    expect(isJapanese(text)).toBe(true),
  );
  test.each(["Restart アプリ now, please", "no"])("%s is not Japanese", (text) => expect(isJapanese(text)).toBe(false));
  test.each(["El nombre de la aplicación", "Configura the color para el texto"])("%s is Spanish", (text) =>
    expect(isSpanish(text)).toBe(true),
  );
  test.each(["The name of the application", "Application", "Use the color de fondo in the editor"])(
    "%s is not Spanish",
    (text) => expect(isSpanish(text)).toBe(false),
  );
});

test("interface strings lose mnemonics, icons and tags", () => {
  expect(interfaceText("ファイル(&&F) を <b>開く</b>")).toBe("ファイル を 開く");
  expect(interfaceText("$(info) Guardar && salir")).toBe("Guardar salir");
});

describe("code", () => {
  test("loses its opening licence comment and its authors' lines", () => {
    expect(withoutNotices("/* Copyright 2020 Somebody */\nlet a = 1;\n// @author Somebody\nlet b;")).toBe(
      "\nlet a = 1;\nlet b;",
    );
    expect(withoutNotices("# SPDX-License-Identifier: MIT\n# more\nimport x\n")).toBe("import x\n");
  });

  test("keeps an opening comment that is about the code, and lines that only mention a licence", () => {
    const code = "/** Adds. */\nconst licence = read('LICENSE');\n";
    expect(withoutNotices(code)).toBe(code);
  });

  test("counts as generated when it says so or has very long lines", () => {
    expect(isGenerated("// Auto-generated\nlet a;")).toBe(true);
    expect(isGenerated(`let a = "${"x".repeat(500)}";\n${"let b;\n".repeat(100)}`)).toBe(true);
    expect(isGenerated("let a;\n".repeat(100))).toBe(false);
  });
});

test("tidied text has unix newlines, composed characters, no control characters and no mail addresses", () => {
  expect(tidied("\ufeffe\u0301  \r\nb\u0000\tc\u200b\n\n\n\n\nwrite to some.one+x@mail.example.com now \n")).toBe(
    "é\nb\tc\n\n\nwrite to name@example.org now",
  );
});

function line(name: string): string {
  return `a line that is long enough, ${name}`;
}

describe("near duplicates", () => {
  test("go where more than half of a document was seen before", () => {
    const first = { text: [line("1"), line("2"), line("3")].join("\n") };
    const mostly = { text: [line("1"), line("2"), line("4")].join("\n") };
    const little = { text: [line("1"), line("5"), line("6")].join("\n") };
    expect(withoutNearDuplicates([first, mostly, little])).toEqual([first, little]);
  });

  test("do not count short lines, which any document may share", () => {
    const documents = [{ text: "}\nend\n" + line("a") }, { text: "}\nend\n" + line("b") }];
    expect(withoutNearDuplicates(documents)).toEqual(documents);
  });
});
