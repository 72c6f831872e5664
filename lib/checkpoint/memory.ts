import type { ModelConfig } from "../config.ts";
import { paramShapes } from "../params.ts";

/**
 * Bytes that a model takes when it is loaded whole, and bytes that are free for it.
 * While it is loaded, the largest parameter is there twice: as it is read, and in the backend.
 * @returns needed: float32 of all parameters and of the largest once more; free: what the process may still take
 */
export function memoryFor(config: ModelConfig): { needed: number; free: number } {
  const sizes = [...paramShapes(config).values()].map((shape) => 4 * shape.reduce((a, b) => a * b, 1));
  const needed = sizes.reduce((a, b) => a + b) + Math.max(...sizes);
  return { needed, free: process.availableMemory() };
}

/** Bytes as they stand in messages. */
export function inGigabytes(bytes: number): string {
  return `${(bytes / 1e9).toPrecision(3)} GB`;
}
