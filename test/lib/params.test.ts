import { describe, expect, test } from "vitest";
import { parameterCounts, paramShapes } from "../../lib/params.ts";
import { TINY } from "../helpers.ts";

// d_model 16, 4 heads and 2 key-value heads of 4, 5 experts of 6, 23 tokens, 2 blocks.
function block(l: number): [string, number[]][] {
  return [
    [`blocks.${l}.ln1.w`, [16]],
    [`blocks.${l}.attn.W_QKV`, [16, 32]],
    [`blocks.${l}.attn.W_O`, [16, 16]],
    [`blocks.${l}.ln2.w`, [16]],
    [`blocks.${l}.mlp.W_router`, [16, 5]],
    [`blocks.${l}.mlp.W_gate`, [5, 6, 16]],
    [`blocks.${l}.mlp.W_up`, [5, 6, 16]],
    [`blocks.${l}.mlp.W_down`, [5, 16, 6]],
  ];
}

describe("the parameters of a model", () => {
  test("are, for the tiny DBRX, those that its figure would show", () => {
    expect([...paramShapes(TINY)]).toEqual([
      ["embed.W_E", [23, 16]],
      ...block(0),
      ...block(1),
      ["ln_final.w", [16]],
      ["unembed.W_U", [16, 23]],
    ]);
  });

  test("of a width of heads that is not d_model follow the heads", () => {
    const shapes = paramShapes({ ...TINY, nHeads: 6, nKvHeads: 3, dHead: 8 });
    expect(shapes.get("blocks.0.attn.W_QKV")).toEqual([16, 6 * 8 + 2 * 3 * 8]);
    expect(shapes.get("blocks.0.attn.W_O")).toEqual([48, 16]);
  });

  test("are counted: a token uses all but the experts that it is not routed to", () => {
    // Outside the experts: 2 · 23 · 16 + 16 + 2 · (16 + 16 · 32 + 16 · 16 + 16 + 16 · 5) = 736 + 16 + 2 · 880 = 2512.
    // An expert has 3 · 16 · 6 = 288; there are 2 · 5 of them, and a token uses 2 · 2.
    expect(parameterCounts(TINY)).toEqual({ total: 2512 + 10 * 288, active: 2512 + 4 * 288 });
  });

  test("that are the embedding turned are counted once", () => {
    expect(parameterCounts({ ...TINY, tiedEmbeddings: true }).total).toBe(2512 + 10 * 288 - 23 * 16);
  });
});
