import { textWidth } from "./tokens.ts";

/**
 * Breaks a text into lines at its spaces; a word that is wider than a line is cut with ….
 * @param most width of a line in em of the monospaced face
 */
export function wrapText(text: string, most: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(" ")) {
    const joined = `${lines.at(-1) ?? ""} ${word}`.trimStart();
    if (lines.length > 0 && textWidth(joined) <= most) lines[lines.length - 1] = joined;
    else lines.push(cut(word, most));
  }
  return lines;
}

function cut(word: string, most: number): string {
  if (textWidth(word) <= most) return word;
  const kept = Array.from(word);
  while (kept.length > 0 && textWidth(`${kept.join("")}…`) > most) kept.pop();
  return `${kept.join("")}…`;
}
