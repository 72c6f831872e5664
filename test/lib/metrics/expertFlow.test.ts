import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { expertFlow } from "../../../lib/metrics/expertFlow.ts";
import { transitions } from "../../../lib/metrics/transitions.ts";
import { randomTrace, traceOf } from "./traces.ts";

describe("expertFlow", () => {
  test("shows busy experts by themselves and pools the rest", () => {
    // First choices: layer 0 has 0,0,0,1,2,3; layer 1 has 2,2,2,2,2,0. Uniform is 6/4, shown from 2.25 tokens on.
    const indices = [0, 2, 0, 2, 0, 2, 1, 2, 2, 2, 3, 0];
    const flow = expertFlow(traceOf({ nExperts: 4, topK: 1, layers: [0, 1], indices }));
    expect(flow.nodes).toEqual([
      { layer: 0, expert: 0, tokens: 3 },
      { layer: 0, expert: null, tokens: 3 },
      { layer: 1, expert: 2, tokens: 5 },
      { layer: 1, expert: null, tokens: 1 },
    ]);
    expect(flow.edges).toEqual([
      { source: 0, target: 2, tokens: 3, expected: 2.5 },
      { source: 1, target: 2, tokens: 2, expected: 2.5 },
      { source: 1, target: 3, tokens: 1, expected: 0.5 },
    ]);
  });

  test("is the matrix of transitions where all experts are shown", () => {
    const trace = randomTrace({ nExperts: 5, topK: 2, nTokens: 40, layers: [1, 2, 6] });
    const { nodes, edges } = expertFlow(trace, { atLeast: 0 });
    const steps = transitions(trace, { draws: 2 });
    for (const { source, target, tokens } of edges) {
      const [from, to] = [nodes[source]!, nodes[target]!];
      const step = steps.find((one) => one.from === from.layer)!;
      expect(step.joint[from.expert!]![to.expert!]).toBe(tokens);
    }
  });

  test("loses no token between layers", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 500 }), fc.double({ min: 0, max: 4, noNaN: true }), (seed, atLeast) => {
        const trace = randomTrace({ nExperts: 5, topK: 2, nTokens: 30, layers: [0, 1], seed });
        const { nodes, edges } = expertFlow(trace, { atLeast });
        for (const layer of [0, 1])
          expect(nodes.filter((node) => node.layer === layer).reduce((sum, { tokens }) => sum + tokens, 0)).toBe(30);
        for (const [at, { layer, tokens }] of nodes.entries()) {
          const side = edges.filter((edge) => (layer === 0 ? edge.source : edge.target) === at);
          expect(side.reduce((sum, edge) => sum + edge.tokens, 0)).toBe(tokens);
        }
        expect(edges.reduce((sum, { expected }) => sum + expected, 0)).toBeLessThan(30 + 1e-9);
      }),
    );
  });

  test("needs the rank order", () => {
    const trace = { ...randomTrace({ nExperts: 5, topK: 2, nTokens: 4 }), rankOrdered: false };
    expect(() => expertFlow(trace)).toThrow("expertFlow: the trace must keep the experts in order of preference");
  });
});
