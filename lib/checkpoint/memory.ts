/**
 * Bytes that parameters take when they are loaded whole, and bytes that are free for them.
 * While they are loaded, the largest is there twice: as it is read, and in the backend.
 * @param shapes of every parameter, by name
 * @returns needed: float32 of all, and of the largest once more; free: what the process may still take
 */
export function memoryFor(shapes: ReadonlyMap<string, readonly number[]>): { needed: number; free: number } {
  const sizes = [...shapes.values()].map((shape) => 4 * shape.reduce((a, b) => a * b, 1));
  return { needed: sizes.reduce((a, b) => a + b) + Math.max(...sizes), free: process.availableMemory() };
}

/** Bytes as they stand in messages. */
export function inGigabytes(bytes: number): string {
  const whole = bytes >= 1e12 ? 0 : 3 - Math.max(1, Math.ceil(Math.log10(bytes / 1e9)));
  return `${(bytes / 1e9).toFixed(Math.max(0, whole))} GB`;
}
