import { ShapeError } from "./errors.ts";

/** The axis glossary: every name that may stand in a shape, with its meaning. */
export const AXES = {
  batch: "sequences run together",
  pos: "token position in a sequence",
  q_pos: "position that attends",
  k_pos: "position attended to",
  d_model: "width of the residual stream",
  n_heads: "query heads",
  n_kv_heads: "key-value heads, each shared by n_heads / n_kv_heads query heads",
  d_head: "width of one head",
  d_value: "width of one head's values: d_head, but in latent attention",
  d_latent: "width of the vector that latent attention makes keys and values of",
  d_ff: "hidden width of one expert (or of a dense block)",
  d_shared: "hidden width of the shared expert",
  n_experts: "routed experts of one layer",
  top_k: "experts chosen per token, as slots 0 … top_k-1 in falling order of router probability",
  n_routed: "assignments (token and slot) that reached one expert; differs from expert to expert",
  n_layers: "blocks of the model",
  d_vocab: "rows of the embedding",
} as const;

export type Axis = keyof typeof AXES;

/** A declared shape: axis names or literal sizes, outermost first. */
export type Shape = readonly (Axis | number)[];

/** A declared shape in the one notation: `[batch, pos, d_model]`. */
export function shapeText(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}

/**
 * Checks a real shape against a declared one.
 * @param where who asks, for the message
 * @param actual sizes found
 * @param declared axis names or literal sizes, outermost first
 * @param sizes the size of each named axis; an axis that is absent may have any size
 * @throws ShapeError naming both shapes
 */
export function checkShape(
  where: string,
  actual: readonly number[],
  declared: Shape,
  sizes: Partial<Record<Axis, number>>,
): void {
  const expected = declared.map((axis) => (typeof axis === "number" ? axis : sizes[axis]));
  const fits = actual.length === expected.length && expected.every((n, i) => n === undefined || n === actual[i]);
  if (fits) return;
  const numbers = expected.map((n) => n ?? "any").join(", ");
  throw new ShapeError(`${where}: shape must be ${shapeText(declared)} = [${numbers}], got [${actual.join(", ")}]`);
}
