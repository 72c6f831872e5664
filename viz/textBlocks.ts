import type { Block } from "./contract.ts";
import { MARGIN, WIDTH } from "./frame.ts";
import { type Token, textWidth } from "./tokens.ts";

/**
 * Sets a text in lines: one block of one cell for each token, and a new line where a token ends one.
 * @param y upper end of the first line
 * @param type size of the letters, height of a token's box, and from line to line, in pixels
 */
export function textBlocks(
  tokens: readonly Token[],
  y: number,
  type: { size: number; box: number; line: number },
): Block[] {
  const blocks: Block[] = [];
  let x = MARGIN;
  for (const [column, token] of tokens.entries()) {
    const width = Math.min(textWidth(token.string) * type.size + 5, WIDTH - 2 * MARGIN);
    if (x + width > WIDTH - MARGIN && x > MARGIN) [x, y] = [MARGIN, y + type.line];
    blocks.push({ x, y, width, height: type.box, columns: 1, rows: 1, column, row: 0 });
    x += width + 2;
    if (token.breaksLine) [x, y] = [MARGIN, y + type.line];
  }
  return blocks;
}
