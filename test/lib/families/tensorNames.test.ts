import { describe, expect, test } from "vitest";
import type { ModelConfig } from "../../../lib/config.ts";
import { FAMILIES } from "../../../lib/families/index.ts";
import { recipeOf, type TensorNames } from "../../../lib/families/tensorNames.ts";
import { paramShapes } from "../../../lib/params.ts";
import { TINY } from "../../helpers.ts";

const APART: TensorNames = {
  "attn.W_Q": "l.{l}.q",
  "attn.W_K": "l.{l}.k",
  "attn.W_V": "l.{l}.v",
  "ln2.w": "l.{l}.norm",
  "mlp.W_gate": "l.{l}.e.{e}.gate",
  "mlp.W_up": "l.{l}.e.{e}.up",
  "mlp.W_down": "l.{l}.e.{e}.down",
};
const FUSED: TensorNames = {
  ...APART,
  "mlp.W_gate": "l.{l}.both",
  "mlp.W_up": "l.{l}.both",
  "mlp.W_down": "l.{l}.down",
};

function size(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

// TINY: d_model 16, 4 heads and 2 key-value heads of 4, 5 experts of 6.
describe("recipeOf", () => {
  test("puts queries, keys and values beside each other", () => {
    expect(recipeOf([APART], "blocks.1.attn.W_QKV", TINY)).toEqual({
      join: "columns",
      parts: [
        { tensor: "l.1.q", shape: [16, 16], transposed: true },
        { tensor: "l.1.k", shape: [8, 16], transposed: true },
        { tensor: "l.1.v", shape: [8, 16], transposed: true },
      ],
    });
  });

  test("takes an expert's matrix from a tensor of its own", () => {
    const { join, parts } = recipeOf([APART], "blocks.1.mlp.W_down", TINY);
    expect([join, parts.length]).toEqual(["experts", 5]);
    expect(parts[3]).toEqual({ tensor: "l.1.e.3.down", shape: [16, 6], transposed: true });
  });

  test("takes it from the rows of a tensor of all: in one that gate and up share, the gate's six come first", () => {
    const third = (part: string): unknown => recipeOf([FUSED], `blocks.0.mlp.${part}`, TINY).parts[3];
    expect(third("W_gate")).toEqual({ tensor: "l.0.both", shape: [5, 12, 16], rows: [36, 42], transposed: true });
    expect(third("W_up")).toEqual({ tensor: "l.0.both", shape: [5, 12, 16], rows: [42, 48], transposed: true });
    expect(third("W_down")).toEqual({ tensor: "l.0.down", shape: [5, 16, 6], rows: [48, 64], transposed: true });
  });

  test("follows the layout whose experts the checkpoint holds, and the first where it holds none", () => {
    const tensorWith = (...names: string[]): string =>
      recipeOf([APART, FUSED], "blocks.1.mlp.W_up", TINY, (name) => (names.includes(name) ? [1] : undefined)).parts[0]!
        .tensor;
    expect(tensorWith("l.0.both")).toBe("l.1.both");
    expect(tensorWith("l.0.e.0.gate")).toBe("l.1.e.0.up");
    expect(tensorWith("l.0.q")).toBe("l.1.e.0.up");
  });
});

// The first tensor of experts in each layout that a family reads.
const LAYOUTS: [family: string, expert: string][] = [
  ["mixtral", "model.layers.0.block_sparse_moe.experts.0.w1.weight"],
  ["mixtral", "model.layers.0.mlp.experts.gate_up_proj"],
  ["olmoe", "model.layers.0.mlp.experts.0.gate_proj.weight"],
  ["olmoe", "model.layers.0.mlp.experts.gate_up_proj"],
  ["qwen3_moe", "model.layers.0.mlp.experts.0.gate_proj.weight"],
  ["qwen3_moe", "model.layers.0.mlp.experts.gate_up_proj"],
  ["granitemoe", "model.layers.0.block_sparse_moe.input_linear.weight"],
  ["granitemoe", "model.layers.0.block_sparse_moe.experts.gate_up_proj"],
  ["grok-1", "model.layers.0.moe_block.experts.0.linear.weight"],
  ["grok-1", "transformer.decoder_layer.0.moe.0.linear.weight"],
];

test.each(LAYOUTS)("a %s that holds %s has every parameter in it, no value twice", (name, expert) => {
  const family = FAMILIES.find((f) => f.name === name)!;
  const config: ModelConfig = { ...TINY, dHead: 6, ...(name === "grok-1" ? { postNorms: true } : { qkNorm: "head" }) };
  const taken = new Map<string, number>();
  const sizes = new Map<string, number>();
  for (const [param, shape] of paramShapes(config)) {
    let values = 0;
    const { parts } = family.recipe(param, config, (tensor) => (tensor === expert ? [1] : undefined));
    for (const { tensor, shape: stored, rows } of parts) {
      const part = rows === undefined ? size(stored) : (rows[1] - rows[0]) * stored.at(-1)!;
      values += part;
      taken.set(tensor, (taken.get(tensor) ?? 0) + part);
      sizes.set(tensor, size(stored));
    }
    expect(values, param).toBe(size(shape));
  }
  expect(taken).toEqual(sizes);
  expect([...taken.keys()]).toContain(expert);
});
