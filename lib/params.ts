import type { ModelConfig } from "./config.ts";

/**
 * Every parameter of a model, by name, with its shape. Matrices stand as x·W needs them, input axis first; names follow
 * the hooks' paths. A family's table says where each comes from in a checkpoint.
 */
export function paramShapes(config: ModelConfig): Map<string, number[]> {
  const { dModel, nHeads, nKvHeads, dHead, dVocab, mlp } = config;
  const shapes = new Map<string, number[]>([["embed.W_E", [dVocab, dModel]]]);
  for (let l = 0; l < config.nLayers; l++) {
    const block: [string, number[]][] = [
      ["ln1.w", [dModel]],
      ["attn.W_QKV", [dModel, (nHeads + 2 * nKvHeads) * dHead]],
      ["attn.W_O", [nHeads * dHead, dModel]],
      ["ln2.w", [dModel]],
      ["mlp.W_router", [dModel, mlp.nExperts]],
      ["mlp.W_gate", [mlp.nExperts, dModel, mlp.dFf]],
      ["mlp.W_up", [mlp.nExperts, dModel, mlp.dFf]],
      ["mlp.W_down", [mlp.nExperts, mlp.dFf, dModel]],
    ];
    for (const [name, shape] of block) shapes.set(`blocks.${l}.${name}`, shape);
  }
  return shapes.set("ln_final.w", [dModel]).set("unembed.W_U", [dModel, dVocab]);
}

/** Parameters of a model: all of them, and those that one token uses (all but the experts it is not routed to). */
export function parameterCounts(config: ModelConfig): { total: number; active: number } {
  let total = 0;
  let active = 0;
  for (const [name, shape] of paramShapes(config)) {
    const size = shape.reduce((a, b) => a * b, 1);
    const isExpert = /\.mlp\.W_(gate|up|down)$/.test(name);
    total += size;
    active += isExpert ? (size / config.mlp.nExperts) * config.mlp.topK : size;
  }
  return { total, active };
}
