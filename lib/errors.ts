/** A model configuration, or an option of the library, that cannot be used. */
export class ConfigError extends Error {
  override name = "ConfigError";
}

/** A checkpoint, tokenizer or other file that is malformed, incomplete or does not fit its configuration. */
export class CheckpointError extends Error {
  override name = "CheckpointError";
}

/** A tensor whose shape or type is not the declared one. */
export class ShapeError extends Error {
  override name = "ShapeError";
}

/** Joins items for a message; a long list is cut and says so. */
export function listed(items: readonly (string | number)[], most = 8): string {
  if (items.length <= most) return items.join(", ");
  return `${items.slice(0, most).join(", ")} … (${items.length} in all)`;
}

/** The value as it stands in a message: JSON, cut to 80 characters. */
export function shown(value: unknown): string {
  const text = typeof value === "number" || value === undefined ? String(value) : JSON.stringify(value);
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}
