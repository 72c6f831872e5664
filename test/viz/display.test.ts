import { createRequire } from "node:module";
import { afterEach, describe, expect, test, vi } from "vitest";
import { init, liveText, show } from "../../viz/display.ts";
import { scriptHtml } from "../../viz/html.ts";
import { routingGrid } from "../../viz/routingGrid.ts";
import { SMALL } from "./samples.ts";

const require = createRequire(import.meta.url);

interface TslabJupyter {
  lastWriteDisplayData: unknown;
}

describe("show", () => {
  afterEach(() => vi.restoreAllMocks());

  test("prints a line outside a notebook", () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    const figure = routingGrid(SMALL);
    show(figure);
    expect(log.mock.calls).toEqual([[figure.text]]);
  });

  test("finds in tslab the function that a bundle goes out through", () => {
    const jupyter = require("tslab/dist/jupyter") as TslabJupyter;
    // Null until a kernel runs; gone if tslab ever drops it.
    expect(jupyter.lastWriteDisplayData).toBeNull();
  });

  test("sends every MIME type at once when a kernel runs", () => {
    const jupyter = require("tslab/dist/jupyter") as TslabJupyter;
    const send = vi.fn();
    jupyter.lastWriteDisplayData = send;
    const figure = routingGrid(SMALL);
    show(figure);
    expect(send).toHaveBeenCalledWith({ data: figure.bundle(), metadata: {}, transient: {} }, false);
    jupyter.lastWriteDisplayData = null;
  });

  test("falls back to tslab's public html where that function is gone", () => {
    const jupyter = require("tslab/dist/jupyter") as TslabJupyter;
    const { display } = require("tslab") as { display: { html(html: string): void } };
    const html = vi.spyOn(display, "html").mockImplementation(() => {});
    jupyter.lastWriteDisplayData = undefined;
    const figure = routingGrid(SMALL);
    show(figure);
    expect(html.mock.calls).toEqual([[figure.bundle()["text/html"]]]);
    jupyter.lastWriteDisplayData = null;
  });
});

describe("liveText", () => {
  test("prints each text outside a notebook", () => {
    const log = vi.spyOn(console, "log").mockImplementation(() => {});
    const say = liveText();
    say("1 of 2");
    say("2 of 2");
    expect(log.mock.calls).toEqual([["1 of 2"], ["2 of 2"]]);
    log.mockRestore();
  });

  test("sends the first text as an output of a notebook, and updates that with the others", () => {
    const jupyter = require("tslab/dist/jupyter") as TslabJupyter;
    const sent: { text: unknown; id: string; isUpdate: boolean }[] = [];
    jupyter.lastWriteDisplayData = (
      content: { data: Record<string, unknown>; transient: { display_id: string } },
      isUpdate?: boolean,
    ) => sent.push({ text: content.data["text/plain"], id: content.transient.display_id, isUpdate: isUpdate === true });
    const say = liveText();
    for (const text of ["1 of 3", "2 of 3", "3 of 3"]) say(text);
    expect(sent.map(({ text, isUpdate }) => [text, isUpdate])).toEqual([
      ["1 of 3", false],
      ["2 of 3", true],
      ["3 of 3", true],
    ]);
    expect(new Set(sent.map(({ id }) => id)).size).toBe(1);
    jupyter.lastWriteDisplayData = null;
  });
});

describe("init", () => {
  const jupyter = require("tslab/dist/jupyter") as TslabJupyter;
  afterEach(() => {
    jupyter.lastWriteDisplayData = null;
    init({ bundle: "each" });
  });

  test("sends the script once, and figures without it from then on", () => {
    const send = vi.fn();
    jupyter.lastWriteDisplayData = send;
    const figure = routingGrid(SMALL);
    init();
    show(figure);
    init({ bundle: "none" });
    show(figure);
    const sent = send.mock.calls.map(([{ data }]) => (data as Record<string, string>)["text/html"]);
    expect(sent).toEqual([scriptHtml(), figure.bundle("once")["text/html"], figure.bundle("none")["text/html"]]);
  });

  test("refuses a source that does not exist", () => {
    expect(() => init({ bundle: "twice" as "once" })).toThrow(
      'init: bundle must be one of once, each, none, got "twice"',
    );
  });
});
