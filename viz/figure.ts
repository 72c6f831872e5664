import { writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { inspect } from "node:util";
import { inTheme, THEMES, type Theme } from "./colors.ts";
import { type FigureParts, figureHtml, pageHtml, type ScriptSource } from "./html.ts";
import { encodePng, reduceColors } from "./png.ts";

/** Which ground a saved picture stands on. */
export interface SaveOptions {
  theme?: Theme;
}

/** MIME type to content: text as it is, binary in base64. */
export type MimeBundle = Record<string, string>;

/** Area in pixels up to which a PNG may have two pixels for one. */
const SHARP_AREA = 700_000;

/** Bytes that a PNG may take; beyond, it has one pixel for one, and then fewer colours. */
const MOST_BYTES = 66_000;

/**
 * A picture with its data. It shows nothing by itself: `show(figure)` does.
 * - `title`, `data`: what it is called and the plain numbers it draws;
 * - `svg`: the static picture, on a light ground, for any program;
 * - `bundle()`: what a notebook needs: html that works untrusted and offline, png and one line of text.
 */
export class Figure<Data = unknown> {
  readonly title: string;
  readonly data: Data;
  readonly #parts: FigureParts;

  constructor(data: Data, parts: FigureParts) {
    this.title = parts.title;
    this.data = data;
    this.#parts = parts;
  }

  /** The static picture on a light ground. */
  get svg(): string {
    return inTheme(this.#parts.svg, "light");
  }

  /** One line: the title and its numbers. */
  get text(): string {
    return `${this.title}: ${this.#parts.summary}`;
  }

  /**
   * The same picture for every front end: `text/html` (the picture as an image, its caption, its numbers as a table and
   * the script that makes it answer to pointer and keys), `image/png` and `text/plain`.
   * @param source where the script comes from; the figure brings it along where absent
   */
  bundle(source: ScriptSource = "each"): MimeBundle {
    return {
      "text/html": figureHtml(this.#parts, source),
      "image/png": Buffer.from(this.png()).toString("base64"),
      "text/plain": this.text,
    };
  }

  /** The static picture as PNG, with the fonts of this package and of the system. */
  png(options: SaveOptions = {}): Uint8Array {
    return renderPng(this.#inTheme("png", options));
  }

  /** Writes the static picture as an SVG file. */
  saveSvg(path: string, options: SaveOptions = {}): void {
    writeFileSync(path, this.#inTheme("saveSvg", options));
  }

  /** Writes the static picture as a PNG file. */
  savePng(path: string, options: SaveOptions = {}): void {
    writeFileSync(path, this.png(options));
  }

  /** Writes the whole figure, script included, as a page that needs no other file and no network. */
  saveHtml(path: string): void {
    writeFileSync(path, pageHtml(this.#parts));
  }

  #inTheme(where: string, { theme = "light" }: SaveOptions): string {
    if (!Object.hasOwn(THEMES, theme)) throw new RangeError(`${where}: theme must be light or dark, got ${theme}`);
    return inTheme(this.#parts.svg, theme);
  }

  [inspect.custom](): string {
    return `Figure "${this.title}": call show(figure) to see it`;
  }

  /** Lets kernels that know this symbol display a figure that ends a cell. */
  [Symbol.for("Jupyter.display")](): MimeBundle {
    return this.bundle();
  }
}

/** The rasteriser is native and heavy, so it is loaded when the first picture is asked for. */
function renderPng(svg: string): Uint8Array {
  const require = createRequire(import.meta.url);
  const { Resvg } = require("@resvg/resvg-js") as typeof import("@resvg/resvg-js");
  const fonts = ["", "-Bold", "-Oblique", "Mono", "Mono-Oblique"];
  const fontFiles = fonts.map((name) => require.resolve(`dejavu-fonts-ttf/ttf/DejaVuSans${name}.ttf`));
  const [width, height] = [...svg.matchAll(/ (?:width|height)="([\d.]+)"/g)].map((match) => Number(match[1]));
  const render = (zoom: number): ReturnType<InstanceType<typeof Resvg>["render"]> =>
    new Resvg(svg, {
      fitTo: { mode: "zoom", value: zoom },
      font: { fontFiles, loadSystemFonts: true, defaultFontFamily: "DejaVu Sans" },
    }).render();
  const encode = (image: ReturnType<typeof render>, colors: number): Uint8Array => {
    const { indices, palette } = reduceColors(image.pixels, colors);
    return encodePng(image.width, image.height, indices, palette);
  };
  const sharp = encode(render(width! * height! <= SHARP_AREA ? 2 : 1), 256);
  if (sharp.length <= MOST_BYTES) return sharp;
  const image = render(1);
  let png = encode(image, 256);
  for (const colors of [64, 32]) if (png.length > MOST_BYTES) png = encode(image, colors);
  return png;
}
