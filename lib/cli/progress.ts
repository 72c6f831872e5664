/** Where nobody watches the line being overwritten, one in this time is enough. */
const PASSING_MS = 10_000;

/** What a long command tells on stderr. */
export interface Progress {
  /** A line that stays. */
  keep(text: string): void;
  /** A line that the next one overwrites on a terminal, and that elsewhere comes only now and then. */
  show(text: string): void;
  /** Takes such a line away. */
  clear(): void;
}

export function progressLine(): Progress {
  const { stderr } = process;
  let last = performance.now();
  const clear = (): void => {
    if (stderr.isTTY) stderr.write("\r\x1b[K");
  };
  return {
    clear,
    keep: (text) => {
      clear();
      stderr.write(`${text}\n`);
    },
    show: (text) => {
      const now = performance.now();
      if (!stderr.isTTY && now - last < PASSING_MS) return;
      last = now;
      stderr.write(stderr.isTTY ? `\r\x1b[K${text}` : `${text}\n`);
    },
  };
}
