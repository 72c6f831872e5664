/** Where nobody watches the line being overwritten, one in this time is enough. */
const PASSING_MS = 10_000;

/** On a terminal, a line on stderr that the next one overwrites; elsewhere a line only now and then. */
export function progressLine(): { show(text: string): void; clear(): void } {
  const { stderr } = process;
  let last = performance.now();
  return {
    show: (text) => {
      const now = performance.now();
      if (!stderr.isTTY && now - last < PASSING_MS) return;
      last = now;
      stderr.write(stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
    },
    clear: () => {
      if (stderr.isTTY) stderr.write("\r\x1b[K");
    },
  };
}
