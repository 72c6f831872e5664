import { type MlpConfig, type ModelConfig, mlpOf, moeLayers } from "../config.ts";
import { type Held, plain, turned, type WeightPart, type WeightRecipe } from "./family.ts";

/**
 * What the tensors of a checkpoint are called, by the part of the model: the names of `paramShapes` without
 * `blocks.{l}.`, and `attn.W_Q`, `attn.W_K`, `attn.W_V` for the three in `attn.W_QKV`, likewise for biases. `{l}` stands for the layer, `{e}`
 * for the expert. The matrices of a dense block are `dense.W_gate`, `dense.W_up` and `dense.W_down`. Matrices lie as [out, in]. A name without `{e}` is a tensor of all experts, [n_experts, out, in]; where
 * gate and up share it, each expert's rows are those of the gate, then those of up.
 */
export type TensorNames = Readonly<Record<string, string>>;

/**
 * A family's `recipe` for checkpoints that are laid out in one of several ways: the one whose experts the checkpoint
 * holds, else the first.
 */
export function recipeOf(
  layouts: readonly [TensorNames, ...TensorNames[]],
  param: string,
  config: ModelConfig,
  held: Held = () => undefined,
): WeightRecipe {
  const first = String(moeLayers(config)[0] ?? 0);
  const aMatrix = (names: TensorNames): string =>
    (names["mlp.W_gate"] ?? names["dense.W_gate"]!).replace("{l}", first).replace("{e}", "0");
  const names = layouts.find((layout) => held(aMatrix(layout)) !== undefined) ?? layouts[0];
  const [, layer = "0", part = param] = /^blocks\.(\d+)\.(.+)$/.exec(param) ?? [];
  const name = (of: string): string => names[of]!.replace("{l}", layer);
  return part.startsWith("mlp.")
    ? recipeOfMlp(part, name, mlpOf(config, Number(layer)), config.dModel)
    : recipeOfPart(part, name, config);
}

function recipeOfPart(part: string, name: (part: string) => string, config: ModelConfig): WeightRecipe {
  const { dModel, nHeads, nKvHeads, dHead, dVocab, qkNorm } = config;
  const [query, key] = [nHeads * dHead, nKvHeads * dHead];
  const matrix = (of: string, rows: number): WeightPart => ({
    tensor: name(of),
    shape: [rows, dModel],
    transposed: true,
  });
  switch (part) {
    case "embed.W_E":
      return plain(name(part), [dVocab, dModel]);
    case "unembed.W_U":
      return turned(name(part), [dVocab, dModel]);
    case "attn.q_norm.w":
      return plain(name(part), [qkNorm === "head" ? dHead : query]);
    case "attn.k_norm.w":
      return plain(name(part), [qkNorm === "head" ? dHead : key]);
    case "attn.W_QKV":
      return { join: "columns", parts: [matrix("attn.W_Q", query), matrix("attn.W_K", key), matrix("attn.W_V", key)] };
    case "attn.b_QKV": {
      const sizes: [string, number][] = [
        ["attn.b_Q", query],
        ["attn.b_K", key],
        ["attn.b_V", key],
      ];
      const parts = sizes.map(([of, size]) => ({ tensor: name(of), shape: [size], transposed: false }));
      return { join: "columns", parts };
    }
    case "attn.W_O":
      return turned(name(part), [dModel, query]);
    default:
      return plain(name(part), [dModel]); // gain or bias of a norm, bias of the attention's output
  }
}

function recipeOfMlp(part: string, name: (part: string) => string, mlp: MlpConfig, dModel: number): WeightRecipe {
  const [out, width] = part === "mlp.W_down" ? [dModel, mlp.dFf] : [mlp.dFf, dModel];
  if (mlp.kind === "dense") {
    const tensor = name(part.replace("mlp.", "dense."));
    return part.startsWith("mlp.b_")
      ? plain(tensor, [part === "mlp.b_down" ? dModel : mlp.dFf])
      : turned(tensor, [out, width]);
  }
  if (part === "mlp.W_router") return turned(name(part), [mlp.nExperts, dModel]);
  const fused = name("mlp.W_gate") === name("mlp.W_up") && part !== "mlp.W_down";
  return experts(name(part), mlp.nExperts, [out, width], [part === "mlp.W_up" && fused ? 1 : 0, fused ? 2 : 1]);
}

/** One [out, in] matrix of each expert; in a tensor of all experts it is the `at`-th of `of` that lie below each other. */
function experts(
  tensor: string,
  nExperts: number,
  [out, width]: readonly [out: number, width: number],
  [at, of]: readonly [at: number, of: number],
): WeightRecipe {
  const apart = tensor.includes("{e}");
  const ofExpert = (_: unknown, e: number): WeightPart => {
    if (apart) return { tensor: tensor.replace("{e}", String(e)), shape: [out, width], transposed: true };
    const start = (e * of + at) * out;
    return { tensor, shape: [nExperts, of * out, width], rows: [start, start + out], transposed: true };
  };
  return { join: "experts", parts: Array.from({ length: nExperts }, ofExpert) };
}
