import { beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../../../lib/backend.ts";
import { ConfigError } from "../../../lib/errors.ts";
import { type Hooks, hookName } from "../../../lib/hooks.ts";
import { ablateExperts } from "../../../lib/interventions/ablateExperts.ts";
import { forceExperts } from "../../../lib/interventions/forceExperts.ts";
import { steerRouter } from "../../../lib/interventions/steerRouter.ts";
import type { CacheOptions, MoeModel } from "../../../lib/model.ts";
import { attentionTrace, type Captured, expertActivations, routingTrace } from "../../../lib/trace/capture.ts";
import type { TokenPiece } from "../../../lib/trace/record.ts";
import { randomModel, TINY, TINY_DENSE, TINY_LATENT, TINY_MIXED } from "../../helpers.ts";

const TOKENS = [
  [5, 17, 3, 9, 0, 22],
  [1, 1, 20, 8, 2, 14],
];
const { nLayers, nHeads } = TINY;
const { nExperts, topK, dFf } = TINY.mlp;

/** A piece for each token, each another. */
const PIECES: TokenPiece[] = TOKENS.flat().map((id, i) => ({
  id,
  bytes: Uint8Array.of(65 + i),
  text: String.fromCharCode(65 + i),
  special: false,
}));

describe("records of a run", () => {
  let model: MoeModel;
  beforeAll(async () => {
    await useBackend();
    model = randomModel(TINY, 3, 1.5);
    return () => model.dispose();
  });

  /** Runs the two sequences and hands the capture to `read`. */
  function captured<T>(names: NonNullable<CacheOptions["names"]>, read: (capture: Captured) => T, pieces = PIECES): T {
    const { logits, cache } = model.runWithCache(TOKENS, { names });
    try {
      return read({ cache, config: model.config, tokens: TOKENS, pieces });
    } finally {
      logits.dispose();
      cache.dispose();
    }
  }

  describe("routingTrace", () => {
    test("holds, token by token and layer by layer, what the cache holds", () => {
      captured("blocks.*", (capture) => {
        const trace = routingTrace(capture, "tiny");
        const { expertIndices, expertWeights, routerProbs, ...rest } = trace;
        expect(rest).toEqual({
          source: { engine: "moescope", model: "tiny" },
          nExperts,
          topK,
          layers: [0, 1],
          tokenIds: Int32Array.from(TOKENS.flat()),
          pieces: PIECES,
          sequenceOffsets: Int32Array.of(0, 6, 12),
          rankOrdered: true,
        });
        const value = (hook: "indices" | "weights", l: number): number[][][] =>
          capture.cache.get(hookName(l, `mlp.hook_expert_${hook}`)).arraySync() as number[][][];
        let checked = 0;
        for (const [s, row] of TOKENS.entries())
          for (const p of row.keys())
            for (let l = 0; l < nLayers; l++) {
              for (let slot = 0; slot < topK; slot++) {
                const at = ((s * 6 + p) * nLayers + l) * topK + slot;
                expect(expertIndices[at]).toBe(value("indices", l)[s]![p]![slot]);
                expect(expertWeights![at]).toBe(value("weights", l)[s]![p]![slot]);
                checked++;
              }
              const probs = capture.cache.get(hookName(l, "mlp.hook_router_probs")).arraySync() as number[][][];
              const at = ((s * 6 + p) * nLayers + l) * nExperts;
              expect([...routerProbs!.subarray(at, at + nExperts)]).toEqual(probs[s]![p]);
            }
        expect(checked).toBe(expertIndices.length);
        expect(routerProbs).toHaveLength(12 * nLayers * nExperts);
      });
    });

    test("holds only the layers whose choices and weights were kept, and probabilities only where all of those did", () => {
      const one = captured(["blocks.1.mlp.hook_expert_*", "blocks.1.mlp.hook_router_probs"], (c) =>
        routingTrace(c, "m"),
      );
      expect([one.layers, one.expertIndices.length, one.routerProbs?.length]).toEqual([[1], 24, 60]);
      const both = captured(["blocks.*.mlp.hook_expert_*", "blocks.1.mlp.hook_router_probs"], (c) =>
        routingTrace(c, "m"),
      );
      expect([both.layers, both.expertIndices.length, both.routerProbs]).toEqual([[0, 1], 48, null]);
      const half = ["blocks.*.mlp.hook_expert_indices", "blocks.0.mlp.hook_expert_weights"];
      expect(captured(half, (c) => routingTrace(c, "m")).layers).toEqual([0]);
    });

    test("counts experts as ordered by rank only where the router's preference falls, whatever a hook put there", () => {
      const ordered = (names: string[], hooks: Hooks): boolean => {
        const { logits, cache } = model.runWithCache(TOKENS, { names, hooks });
        const { rankOrdered } = routingTrace({ cache, config: model.config, tokens: TOKENS, pieces: PIECES }, "m");
        logits.dispose();
        cache.dispose();
        return rankOrdered;
      };
      const ids = ["blocks.0.mlp.hook_expert_*"];
      const withProbs = [...ids, "blocks.0.mlp.hook_router_probs"];
      const reversed: Hooks = { "blocks.0.mlp.hook_expert_indices": (value) => value.reverse(-1) };
      const weightless: Hooks = {
        "blocks.0.mlp.hook_expert_weights": (value) =>
          value.mul(Array.from({ length: topK }, (_, slot) => (slot === 0 ? 0 : 1))),
      };
      expect([ids, withProbs].map((names) => ordered(names, {}))).toEqual([true, true]);
      expect([ids, withProbs].map((names) => ordered(names, reversed))).toEqual([false, false]);
      // Without a weight the first choice stays the first choice, but only the probabilities can tell.
      expect([ids, withProbs].map((names) => ordered(names, weightless))).toEqual([false, true]);
    });

    test("takes the order of a sigmoid router as it is, which a bias may have made", () => {
      const biased = randomModel(TINY_LATENT, 3, 1.5);
      const { logits, cache } = biased.runWithCache(TOKENS, { names: "blocks.*.mlp.hook_*" });
      const trace = routingTrace({ cache, config: biased.config, tokens: TOKENS, pieces: PIECES }, "m");
      expect(trace.rankOrdered).toBe(true);
      logits.dispose();
      cache.dispose();
      biased.dispose();
    });

    test("says which hooks it needs", () => {
      expect(() => captured("blocks.*.mlp.hook_expert_indices", (c) => routingTrace(c, "m"))).toThrow(
        new RangeError(
          'routingTrace: the cache must hold "blocks.*.mlp.hook_expert_*" of some layer; name it in runWithCache',
        ),
      );
    });

    test.each<[string, Partial<Captured>, string]>([
      ["fewer sequences", { tokens: [TOKENS[0]!] }, "2 x 6 with 12 pieces of the run, got 1 x 6 with 12 pieces"],
      ["shorter ones", { tokens: [[1], [2]] }, "2 x 6 with 12 pieces of the run, got 2 x 1 with 12 pieces"],
      ["ragged ones", { tokens: [TOKENS[0]!, [1]] }, "2 x 6 with 12 pieces of the run, got 2 x 6|1 with 12 pieces"],
      ["no sequences", { tokens: [], pieces: null }, "2 x 6 of the run, got 0 x "],
      ["the pieces of one", { pieces: PIECES.slice(0, 6) }, "2 x 6 with 12 pieces of the run, got 2 x 6 with 6 pieces"],
    ])("refuses %s, as is attentionTrace", (_, wrong, message) => {
      const error = new RangeError(`capture: tokens must be the ${message}`);
      captured("blocks.*", (capture) => {
        expect(() => routingTrace({ ...capture, ...wrong }, "m")).toThrow(error);
        if (wrong.tokens?.length !== 0) expect(() => attentionTrace({ ...capture, ...wrong }, 0)).toThrow(error);
      });
    });
  });

  describe("of a dense model", () => {
    test("have attention, and say in one line that there is no routing", () => {
      const dense = randomModel(TINY_DENSE);
      const { logits, cache } = dense.runWithCache(TOKENS);
      const capture = { cache, config: TINY_DENSE, tokens: TOKENS, pieces: PIECES };
      expect(attentionTrace(capture, 0).nHeads).toBe(nHeads);
      const message = "the model must have experts, got a dense dbrx, which has no router";
      expect(() => routingTrace(capture, "m")).toThrow(new ConfigError(`routingTrace: ${message}`));
      expect(() => expertActivations(capture, 0, 0)).toThrow(new ConfigError(`expertActivations: ${message}`));
      for (const hooks of [
        ablateExperts(0, [1], "zero"),
        ablateExperts(1, [1], "reroute"),
        forceExperts(0, [0, 1]),
        steerRouter(1, [1, 0, 0, 0, 0], 2),
      ])
        expect(() => dense.runWithHooks(TOKENS, hooks)).toThrow(
          /^hooks: "blocks\.[01]\.mlp\.hook_\w+" must be asked of blocks with experts, got block [01] of a dbrx \(dense blocks have no router and no experts\)$/,
        );
      logits.dispose();
      cache.dispose();
      dense.dispose();
    });

    test("and experts: the trace has the layers that route", () => {
      const mixed = randomModel(TINY_MIXED);
      const { logits, cache } = mixed.runWithCache(TOKENS, { names: ["blocks.*.mlp.hook_expert_*"] });
      const trace = routingTrace({ cache, config: TINY_MIXED, tokens: TOKENS, pieces: PIECES }, "m");
      expect([trace.layers, trace.expertIndices.length]).toEqual([[0, 2], 2 * 12 * topK]);
      logits.dispose();
      cache.dispose();
      mixed.dispose();
    });
  });

  describe("attentionTrace", () => {
    test.each([0, 1])("holds the patterns of sequence %d, head by head", (sequence) => {
      captured("blocks.1.attn.hook_pattern", (capture) => {
        const trace = attentionTrace(capture, 1, sequence);
        const pattern = capture.cache.get("blocks.1.attn.hook_pattern").arraySync() as number[][][][];
        expect([...trace.pattern]).toEqual(pattern[sequence]!.flat(2));
        expect(trace.pieces.map(({ text }) => text).join("")).toBe(sequence === 0 ? "ABCDEF" : "GHIJKL");
        expect([trace.layer, trace.nHeads]).toEqual([1, nHeads]);
        for (let h = 0; h < nHeads; h++)
          for (let q = 0; q < 6; q++) {
            const row = trace.pattern.subarray((h * 6 + q) * 6, (h * 6 + q + 1) * 6);
            expect(row.reduce((a, b) => a + b)).toBeCloseTo(1, 5);
            expect([...row.subarray(q + 1)].every((weight) => weight === 0)).toBe(true);
          }
      });
    });

    test("outlives the cache", () => {
      const { pattern } = captured("blocks.0.attn.hook_pattern", (capture) => attentionTrace(capture, 0));
      expect(pattern[0]).toBeCloseTo(1, 6);
    });

    test.each([2, -1, 0.5])("refuses sequence %d of two", (sequence) => {
      expect(() => captured("blocks.*", (capture) => attentionTrace(capture, 0, sequence))).toThrow(
        new RangeError(`capture: sequence must be from 0 to 1, got ${sequence}`),
      );
    });

    test("says where a pattern was not kept", () => {
      expect(() => captured("logits", (capture) => attentionTrace(capture, 0))).toThrow(
        new RangeError('cache: "blocks.0.attn.hook_pattern" was not kept; kept are logits'),
      );
    });
  });

  describe("expertActivations", () => {
    test("holds an expert's neurons for its tokens, and NaN, which is not zero, for the others", () => {
      captured("blocks.*", (capture) => {
        let computed = 0;
        for (let l = 0; l < nLayers; l++)
          for (let e = 0; e < nExperts; e++)
            for (const s of [0, 1]) {
              const trace = expertActivations(capture, l, e, s);
              const chosen = capture.cache.get(hookName(l, "mlp.hook_expert_indices")).arraySync() as number[][][];
              expect([trace.layer, trace.expert, trace.dFf]).toEqual([l, e, dFf]);
              expect([...trace.computed]).toEqual(chosen[s]!.map((slots) => Number(slots.includes(e))));
              for (const [t, was] of trace.computed.entries()) {
                const own = [...trace.values.subarray(t * dFf, (t + 1) * dFf)];
                expect(own.every(was === 1 ? Number.isFinite : Number.isNaN)).toBe(true);
                computed += was;
              }
            }
        expect(computed).toBe(12 * nLayers * topK);
      });
    });

    test("of the second sequence are the rows of its own tokens", () => {
      captured("blocks.*", (capture) => {
        for (let e = 0; e < nExperts; e++) {
          const rows = [...capture.cache.get(hookName(0, `mlp.experts.${e}.hook_token_index`)).dataSync()];
          const post = capture.cache.get(hookName(0, `mlp.experts.${e}.hook_post`)).arraySync() as number[][];
          const { values } = expertActivations(capture, 0, e, 1);
          for (const [r, row] of rows.entries())
            if (row >= 6) expect([...values.subarray((row - 6) * dFf, (row - 5) * dFf)]).toEqual(post[r]);
        }
      });
    });

    test("of an idle expert were never computed", () => {
      const hooks: Hooks = { "blocks.0.mlp.hook_router_logits": (value) => value.mul(0) };
      const { logits, cache } = model.runWithCache(TOKENS, { names: "blocks.0.mlp.*", hooks });
      // Equal logits choose experts 0 and 1.
      const trace = expertActivations({ cache, config: model.config, tokens: TOKENS, pieces: null }, 0, 4);
      expect([...trace.computed]).toEqual([0, 0, 0, 0, 0, 0]);
      expect(trace.values.every(Number.isNaN)).toBe(true);
      expect(trace.values).toHaveLength(6 * dFf);
      logits.dispose();
      cache.dispose();
    });

    test("say which hook is missing, for an expert that does not exist too", () => {
      const hook = "blocks.0.mlp.experts.1.hook_post";
      expect(() => captured(hook, (capture) => expertActivations(capture, 0, 1))).toThrow(
        new RangeError(`cache: "blocks.0.mlp.experts.1.hook_token_index" was not kept; kept are ${hook}`),
      );
      expect(() => captured("blocks.0.mlp.experts.*", (capture) => expertActivations(capture, 0, 9))).toThrow(
        'cache: "blocks.0.mlp.experts.9.hook_token_index" was not kept',
      );
    });
  });

  test("without a tokenizer a token is shown as its number", () => {
    const { logits, cache } = model.runWithCache(TOKENS, { names: "blocks.0.attn.hook_pattern" });
    const { pieces } = attentionTrace({ cache, config: model.config, tokens: TOKENS, pieces: null }, 0, 1);
    expect(pieces.map(({ text }) => text)).toEqual(["1", "1", "20", "8", "2", "14"]);
    expect(pieces[2]).toEqual({ id: 20, bytes: Uint8Array.of(50, 48), text: "20", special: true });
    logits.dispose();
    cache.dispose();
  });
});
