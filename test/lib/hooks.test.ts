import { describe, expect, test } from "vitest";
import { AXES } from "../../lib/axes.ts";
import {
  axisSizes,
  HOOKS,
  type HookName,
  type Hooks,
  hookName,
  hookNames,
  matchHooks,
  patternOf,
  unknownHook,
} from "../../lib/hooks.ts";
import { TINY, TINY_DENSE, TINY_GPT2, TINY_LATENT, TINY_MIXED } from "../helpers.ts";

const NAMES = hookNames(TINY);
const matched = (asked: string | string[]): string[] => [...matchHooks(asked, TINY)];

describe("the hook table", () => {
  test("has only axes of the glossary, and a size for each that the configuration fixes", () => {
    const axes = new Set(Object.values(HOOKS).flatMap(({ shape }) => shape.filter((axis) => typeof axis === "string")));
    for (const axis of axes) expect(Object.keys(AXES)).toContain(axis);
    const perRun = ["batch", "pos", "q_pos", "k_pos", "n_routed"];
    expect([...axes].filter((axis) => axisSizes(TINY_LATENT, 0)[axis] === undefined).sort()).toEqual(perRun.sort());
  });

  test("gives a model of 2 blocks and 5 experts a name for every block and expert, each once", () => {
    // 4 outside the blocks; in each block 22 and, for each expert, 4.
    expect(NAMES).toHaveLength(4 + 2 * (22 + 5 * 4));
    expect(new Set(NAMES).size).toBe(NAMES.length);
  });
});

describe("the hooks of dense blocks", () => {
  test("are the neurons of the block, and no router", () => {
    // 4 outside the blocks; in each block 17 of attention and stream, and 3 of the neurons.
    const names = hookNames(TINY_DENSE);
    expect(names).toHaveLength(4 + 2 * (17 + 3));
    expect(names.filter((name) => name.startsWith("blocks.1.mlp."))).toEqual([
      "blocks.1.mlp.hook_pre",
      "blocks.1.mlp.hook_pre_linear",
      "blocks.1.mlp.hook_post",
    ]);
  });

  test("stand beside those of experts where a model has both, each with the width of its own block", () => {
    const inMiddle = hookNames(TINY_MIXED).filter((name) => name.startsWith("blocks.1."));
    expect(inMiddle).toEqual(hookNames(TINY_DENSE).filter((name) => name.startsWith("blocks.1.")));
    const others = (l: number): string[] => hookNames(TINY).filter((name) => name.startsWith(`blocks.${l}.`));
    expect(hookNames(TINY_MIXED).filter((name) => name.startsWith("blocks.0."))).toEqual(others(0));
    expect([0, 1, 2].map((l) => axisSizes(TINY_MIXED, l).d_ff)).toEqual([6, 9, 6]);
  });

  test.each([
    [
      TINY_DENSE,
      "blocks.0.mlp.hook_router_logits",
      "blocks with experts, got block 0 of a dbrx (dense blocks have no router and no experts)",
    ],
    [
      TINY_DENSE,
      "blocks.*.mlp.hook_expert_*",
      "blocks with experts, got blocks 0, 1 of a dbrx (dense blocks have no router and no experts)",
    ],
    [
      TINY_DENSE,
      "blocks.1.mlp.experts.3.hook_post",
      "blocks with experts, got block 1 of a dbrx (dense blocks have no router and no experts)",
    ],
    [
      TINY_MIXED,
      "blocks.1.mlp.hook_router_probs",
      "blocks with experts, got block 1 of a dbrx (dense blocks have no router and no experts)",
    ],
    [
      TINY_MIXED,
      "blocks.2.mlp.hook_post",
      "dense blocks, got block 2 of a dbrx (the neurons of experts are at mlp.experts.{e})",
    ],
    [
      TINY_GPT2,
      "blocks.0.mlp.hook_pre_linear",
      "dense blocks with a gate, got block 0 of a gpt2 (without one there is only mlp.hook_pre; the neurons of experts are at mlp.experts.{e})",
    ],
    [
      TINY_GPT2,
      "blocks.*.attn.hook_rot_q",
      "blocks that rotate queries and keys, got blocks 0, 1 of a gpt2 (attention reads attn.hook_q and attn.hook_k as they are)",
    ],
    [
      TINY,
      "hook_pos_embed",
      "models with a learned vector for each position, got a dbrx (queries and keys are rotated instead)",
    ],
  ])("asked of the wrong block say so: %o %s", (config, asked, message) => {
    expect(() => matchHooks(asked, config)).toThrow(new RangeError(`hooks: "${asked}" must be asked of ${message}`));
  });
});

test("a model with learned positions has their hook, and none of rotation or of a gate", () => {
  const names = hookNames(TINY_GPT2);
  expect(names.slice(0, 3)).toEqual(["hook_embed", "hook_pos_embed", "blocks.0.hook_resid_pre"]);
  expect(names).toHaveLength(5 + 2 * (15 + 2));
  expect(names.filter((name) => /rot|linear/.test(name))).toEqual([]);
});

test("a model with latent attention and a shared expert has their hooks, and others say why they have not", () => {
  const names = hookNames(TINY_LATENT);
  expect(names).toHaveLength(4 + 2 * (22 + 6 * 4 + 5));
  expect(names.filter((name) => name.startsWith("blocks.1.mlp.shared.hook_"))).toHaveLength(4);
  expect(() => matchHooks("blocks.0.mlp.shared.hook_out", TINY)).toThrow(
    new RangeError(
      'hooks: "blocks.0.mlp.shared.hook_out" must be asked of blocks with a shared expert, got block 0 of a dbrx (all of its experts are chosen ones, or it has none)',
    ),
  );
});

describe("hookName and patternOf", () => {
  test("build a name and take it back to its pattern", () => {
    expect(hookName(3, "mlp.hook_router_logits")).toBe("blocks.3.mlp.hook_router_logits");
    expect(hookName(11, "mlp.experts.15.hook_post")).toBe("blocks.11.mlp.experts.15.hook_post");
    expect(patternOf("blocks.11.mlp.experts.15.hook_post")).toBe("blocks.{l}.mlp.experts.{e}.hook_post");
    const names = [TINY_MIXED, TINY_GPT2, TINY_LATENT].flatMap((config) => hookNames(config));
    expect(new Set(names.map(patternOf))).toEqual(new Set(Object.keys(HOOKS)));
  });

  test.each([
    "hook_embe",
    "blocks.x.hook_attn_out",
    "blocks.1.hook_attn_out.more",
    "blocks.{l}.mlp.experts.1.hook_pre_",
    "toString",
    "__proto__",
    "",
  ])("%j is no hook", (name) => {
    expect(patternOf(name)).toBeNull();
  });
});

describe("the type of a hook's name", () => {
  test("takes every hook, and a typo does not compile", () => {
    const fine: Hooks = {
      hook_embed: () => {},
      "blocks.3.mlp.hook_router_logits": (value) => value,
      [hookName(0, "attn.hook_pattern")]: [() => {}, () => {}],
      "blocks.0.mlp.experts.12.hook_post": () => {},
    };
    const typos: Hooks[] = [
      // @ts-expect-error the hook is called hook_router_logits
      { "blocks.3.mlp.hook_router_logit": () => {} },
      // @ts-expect-error a block is a number
      { "blocks.first.hook_attn_out": () => {} },
      // @ts-expect-error experts belong to the mlp
      { "blocks.0.experts.1.hook_post": () => {} },
      // @ts-expect-error a hook returns a tensor or nothing
      { hook_embed: () => 5 },
    ];
    // @ts-expect-error attention has no router
    const name: HookName = hookName(0, "attn.hook_router_logits");
    // @ts-expect-error hookName puts the block's number in itself
    const twice: HookName = hookName(0, "blocks.0.hook_attn_out");
    // Run time refuses the same names.
    expect(Object.keys(fine).map(patternOf)).not.toContain(null);
    const wrong = [...typos.slice(0, 3).flatMap(Object.keys), name, twice] as string[];
    expect(wrong.map(patternOf)).toEqual([null, null, null, null, null]);
  });
});

describe("matchHooks", () => {
  test("takes a name as it is, a list, and each name once, in the model's order within a glob", () => {
    expect(matched("logits")).toEqual(["logits"]);
    expect(matched(["logits", "hook_embed", "logits"])).toEqual(["logits", "hook_embed"]);
    expect(matched([])).toEqual([]);
  });

  test("lets * stand for any run of characters, empty and with dots", () => {
    expect(matched("*")).toEqual(NAMES);
    expect(matched("blocks.*.mlp.hook_router_*")).toEqual([
      "blocks.0.mlp.hook_router_logits",
      "blocks.0.mlp.hook_router_probs",
      "blocks.1.mlp.hook_router_logits",
      "blocks.1.mlp.hook_router_probs",
    ]);
    expect(matched("*embed*")).toEqual(["hook_embed"]);
    expect(matched("blocks.1*_index")).toEqual(
      [0, 1, 2, 3, 4].map((e) => `blocks.1.mlp.experts.${e}.hook_token_index`),
    );
    expect(matched("*ln1.hook_scale")).toEqual(["blocks.0.ln1.hook_scale", "blocks.1.ln1.hook_scale"]);
  });

  test.each([
    "blocks.0.hook_(attn|mlp)_out",
    "blocks.[01].hook_attn_out",
    "blocks.?.hook_attn_out",
    "blocks.0.hook.attn_out",
    "hook_embe.",
    "^logits$",
    "logits|hook_embed",
    "\\w+",
    "hook_embed+",
    "HOOK_EMBED",
    " logits",
    "logit",
    "embed",
    "",
  ])("takes every other character as itself: %j matches nothing", (glob) => {
    expect(() => matched(glob)).toThrow(RangeError);
  });

  test("says which of several globs matches nothing", () => {
    expect(() => matched(["logits", "blocks.*.mlp.hook_gate"])).toThrow('no hook is called "blocks.*.mlp.hook_gate"');
  });

  test("answers at once, however many stars a glob has", () => {
    // Stars side by side make a regular expression try every way of sharing the name out among them: years for these.
    expect(matched(`${"*".repeat(200)}logits`)).toContain("logits");
    expect(() => matched(`${"*".repeat(200)}!`)).toThrow(RangeError);
  });
});

describe("unknownHook", () => {
  test.each([
    ["blocks.0.mlp.hook_router_logit", "blocks.0.mlp.hook_router_logits"],
    ["hook_embedding", "hook_embed"],
    ["blocks.1.atn.hook_z", "blocks.1.attn.hook_z"],
    ["logit", "logits"],
  ])("names the nearest of %j first", (asked, near) => {
    expect(unknownHook(asked, TINY)).toMatch(
      new RegExp(`^hooks: no hook is called "${asked}"; the nearest are ${near}, `.replaceAll(".", "\\.")),
    );
  });

  test("cuts a name that no model could have", () => {
    expect(unknownHook("x".repeat(1e6), TINY).length).toBeLessThan(300);
  });
});
