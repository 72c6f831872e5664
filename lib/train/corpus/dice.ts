/** A source of whole numbers: `int(a, b)` is uniform over a..b, both included. */
export interface Dice {
  int(from: number, to: number): number;
  pick<T>(items: readonly T[]): T;
}

/** Dice that fall the same way for the same seed (mulberry32). */
export function seededDice(seed: number): Dice {
  let state = seed >>> 0;
  const uniform = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  const int = (from: number, to: number): number => from + Math.floor(uniform() * (to - from + 1));
  return { int, pick: (items) => items[int(0, items.length - 1)]! };
}
