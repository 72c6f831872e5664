import type { HookFn, HookName, Hooks } from "../hooks.ts";

/**
 * Several sets of hooks as one; where two have the same name, both run, in the order given.
 * @example model.runWithHooks(ids, combineHooks(ablateExperts(0, [3], "zero"), forceExperts(1, [0, 1, 2, 3])))
 */
export function combineHooks(...sets: readonly Hooks[]): Hooks {
  const all: { [name in HookName]?: readonly HookFn[] } = {};
  for (const set of sets)
    for (const [name, hooks] of Object.entries(set) as [HookName, HookFn | readonly HookFn[]][])
      all[name] = [...(all[name] ?? []), ...[hooks].flat()];
  return all;
}
