import { createRequire } from "node:module";
import { afterEach, describe, expect, test, vi } from "vitest";
import { show } from "../../viz/display.ts";
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
