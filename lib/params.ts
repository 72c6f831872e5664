import { type MlpConfig, type ModelConfig, mlpOf } from "./config.ts";
import { CheckpointError, listed } from "./errors.ts";

/**
 * Every parameter of a model, by name, with its shape. Matrices stand as x·W needs them, input axis first; names follow
 * the hooks' paths. A family's table says where each comes from in a checkpoint.
 */
export function paramShapes(config: ModelConfig): Map<string, number[]> {
  const { dModel, nHeads, nKvHeads, dHead, dVocab, qkNorm } = config;
  const after = (name: string): [string, number[]][] => (config.postNorms === true ? [[name, [dModel]]] : []);
  const shapes = new Map<string, number[]>([["embed.W_E", [dVocab, dModel]]]);
  if (config.learnedPositions === true) shapes.set("embed.W_pos", [config.nCtx, dModel]);
  for (let l = 0; l < config.nLayers; l++) {
    const block: [string, number[]][] = [
      ["ln1.w", [dModel]],
      ...bias("ln1.b", config.normBias, dModel),
      ...(qkNorm === undefined
        ? []
        : ([
            ["attn.q_norm.w", [qkNorm === "head" ? dHead : nHeads * dHead]],
            ["attn.k_norm.w", [qkNorm === "head" ? dHead : nKvHeads * dHead]],
          ] as [string, number[]][])),
      ["attn.W_QKV", [dModel, (nHeads + 2 * nKvHeads) * dHead]],
      ...bias("attn.b_QKV", config.attentionBias, (nHeads + 2 * nKvHeads) * dHead),
      ["attn.W_O", [nHeads * dHead, dModel]],
      ...bias("attn.b_O", config.attentionBias, dModel),
      ...after("ln1_post.w"),
      ["ln2.w", [dModel]],
      ...bias("ln2.b", config.normBias, dModel),
      ...mlpShapes(mlpOf(config, l), dModel),
      ...after("ln2_post.w"),
    ];
    for (const [name, shape] of block) shapes.set(`blocks.${l}.${name}`, shape);
  }
  shapes.set("ln_final.w", [dModel]);
  if (config.normBias === true) shapes.set("ln_final.b", [dModel]);
  return config.tiedEmbeddings === true ? shapes : shapes.set("unembed.W_U", [dModel, dVocab]);
}

/** A bias, where the model has it. */
function bias(name: string, has: boolean | undefined, width: number): [string, number[]][] {
  return has === true ? [[name, [width]]] : [];
}

function mlpShapes(mlp: MlpConfig, dModel: number): [string, number[]][] {
  const { dFf } = mlp;
  if (mlp.kind === "dense") {
    const gate: [string, number[]][] = [["mlp.W_gate", [dModel, dFf]], ...bias("mlp.b_gate", mlp.bias, dFf)];
    return [
      ...(mlp.ungated === true ? [] : gate),
      ["mlp.W_up", [dModel, dFf]],
      ...bias("mlp.b_up", mlp.bias, dFf),
      ["mlp.W_down", [dFf, dModel]],
      ...bias("mlp.b_down", mlp.bias, dModel),
    ];
  }
  return [
    ["mlp.W_router", [dModel, mlp.nExperts]],
    ["mlp.W_gate", [mlp.nExperts, dModel, dFf]],
    ["mlp.W_up", [mlp.nExperts, dModel, dFf]],
    ["mlp.W_down", [mlp.nExperts, dFf, dModel]],
  ];
}

/** Parameters of a model: all of them, and those that one token uses (all but the experts it is not routed to). */
export function parameterCounts(config: ModelConfig): { total: number; active: number } {
  const { mlp } = config;
  let total = 0;
  let active = 0;
  for (const [name, shape] of paramShapes(config)) {
    const size = shape.reduce((a, b) => a * b, 1);
    const isOfExperts = /\.mlp\.W_(gate|up|down)$/.test(name) && shape.length === 3;
    total += size;
    active += isOfExperts && mlp.kind === "moe" ? (size / mlp.nExperts) * mlp.topK : size;
  }
  return { total, active };
}

/**
 * Checks that a model's parameters are all there.
 * @param shapes by name, as `paramShapes` gives them
 * @throws CheckpointError for one that is missing or has another shape
 */
export function checkParams(
  shapes: ReadonlyMap<string, readonly number[]>,
  params: ReadonlyMap<string, { shape: readonly number[] }>,
): void {
  for (const [name, shape] of shapes) {
    const found = params.get(name);
    if (found === undefined) throw new CheckpointError(`model: parameter ${name} is missing`);
    if (found.shape.join() !== shape.join())
      throw new CheckpointError(`model: ${name} must have shape [${listed(shape)}], got [${listed(found.shape)}]`);
  }
}
