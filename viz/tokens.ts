import type { TokenPiece } from "../lib/trace/record.ts";
import { element, escapeText } from "./svg.ts";

/** A stretch of a token as drawn: `text` stands for itself; `sign` stands for what could not be seen. */
interface Run {
  text: string;
  kind: "text" | "sign";
}

/** A token made visible. */
export interface Token {
  runs: Run[];
  /** The runs joined, for tooltips and tables. */
  string: string;
  /** A control token rather than text of the document. */
  special: boolean;
  /** The token ends a line of the document. */
  breaksLine: boolean;
}

const SIGNS: Record<string, string> = { " ": "␣", "\n": "↵", "\t": "⇥", "\r": "␍", "\u007f": "␡" };

/** Characters that show nothing, or change how their neighbours show. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Co}\p{Cn}\p{Z}\p{Default_Ignorable_Code_Point}]/u;

/** Joiners and selectors: part of what is seen inside an emoji or a script that needs them, hidden elsewhere. */
const JOINERS: ReadonlySet<number> = new Set([0x200c, 0x200d, 0xfe0e, 0xfe0f]);

const JOINED = /(?:[\p{Extended_Pictographic}\p{Emoji_Modifier}\p{M}#*0-9]|(?!\p{Script=Latin})\p{L})$/u;

function signOf(character: string): string | null {
  const sign = SIGNS[character];
  if (sign !== undefined) return sign;
  const code = character.codePointAt(0)!;
  if (code < 0x20) return String.fromCodePoint(0x2400 + code);
  if (UNSEEN.test(character)) return `⟨U+${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
  return null;
}

function joins(character: string, before: string): boolean {
  return JOINERS.has(character.codePointAt(0)!) && JOINED.test(before);
}

function runsOfText(text: string): Run[] {
  const runs: Run[] = [];
  let before = "";
  for (const character of text) {
    const sign = joins(character, before) ? null : signOf(character);
    const shown = sign ?? (/\p{M}/u.test(character) && before === "" ? `◌${character}` : character);
    const kind = sign === null ? "text" : "sign";
    const last = runs.at(-1);
    if (last?.kind === kind) last.text += shown;
    else runs.push({ text: shown, kind });
    before += character;
  }
  return runs;
}

/** Splits bytes into whole characters, as runs of text, and bytes that are none, as ⟨E3 81⟩. */
function runsOfBytes(bytes: Uint8Array): Run[] {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  const runs: Run[] = [];
  let stray: string[] = [];
  const flush = (): void => {
    if (stray.length > 0) runs.push({ text: `⟨${stray.join(" ")}⟩`, kind: "sign" });
    stray = [];
  };
  for (let at = 0; at < bytes.length; ) {
    const lead = bytes[at]!;
    const length = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    try {
      const character = decoder.decode(bytes.subarray(at, at + length));
      flush();
      runs.push(...runsOfText(character));
      at += length;
    } catch {
      stray.push(lead.toString(16).toUpperCase().padStart(2, "0"));
      at += 1;
    }
  }
  flush();
  return runs;
}

/**
 * Makes a token visible and truthful: spaces ␣, line ends ↵ and tabs ⇥ are signs, other unseen characters stand as
 * ⟨U+200B⟩, bytes that are no whole character as ⟨E3 81⟩, and a combining mark at the start sits on ◌.
 */
export function showToken(piece: TokenPiece): Token {
  const runs = piece.text === null ? runsOfBytes(piece.bytes) : runsOfText(piece.text);
  if (runs.length === 0) runs.push({ text: "⟨⟩", kind: "sign" });
  const string = runs.map((run) => run.text).join("");
  return { runs, string, special: piece.special, breaksLine: !piece.special && (piece.text?.includes("\n") ?? false) };
}

/** A token known only by its id. */
export function showId(id: number): Token {
  return { runs: [{ text: `#${id}`, kind: "sign" }], string: `#${id}`, special: false, breaksLine: false };
}

const WIDE =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\u3000-\u303f\uff01-\uff60]|\p{Emoji_Presentation}/u;

/** Width in em of text in the monospaced face: an estimate, since nothing is measured outside a browser. */
export function textWidth(text: string): number {
  let width = 0;
  for (const character of text)
    width += /[\p{M}\p{Default_Ignorable_Code_Point}]/u.test(character) ? 0 : WIDE.test(character) ? 1.04 : 0.605;
  return width;
}

/** Cuts runs to a width in em, with … where something is left out. */
function fit(runs: Run[], most: number): Run[] {
  if (textWidth(runs.map((run) => run.text).join("")) <= most) return runs;
  const kept: Run[] = [];
  let left = most - textWidth("…");
  for (const run of runs) {
    let text = "";
    for (const character of run.text) {
      left -= textWidth(character);
      if (left < 0) break;
      text += character;
    }
    if (text !== "") kept.push({ text, kind: run.kind });
    if (left < 0) break;
  }
  return [...kept, { text: "…", kind: "sign" }];
}

/**
 * A token as an SVG text, each in a text element of its own, so that right-to-left text stays inside it. Signs are
 * drawn faint, control tokens slanted.
 * @param most width in em beyond which the token is cut with …
 */
export function tokenText(token: Token, attributes: Record<string, string | number | null>, most = Infinity): string {
  const spans = fit(token.runs, most).map((run) =>
    run.kind === "sign" ? element("tspan", { class: "s" }, escapeText(run.text)) : escapeText(run.text),
  );
  return element("text", { ...attributes, "font-style": token.special ? "italic" : null }, ...spans);
}
