/** Rows as Markdown, in columns of even width, as the formatter wants them; the first row is the head. */
export function markdownTable([head, ...rows]: readonly (readonly string[])[]): string {
  const widths = head!.map((title, i) =>
    Math.max(...[title, ...rows.map((row) => row[i]!)].map((cell) => cell.length)),
  );
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`;
  return [line(head!), line(widths.map((width) => "-".repeat(width))), ...rows.map(line)].join("\n");
}
