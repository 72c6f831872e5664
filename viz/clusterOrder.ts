/**
 * An order in which like stands beside like: average linkage, each merger joining the two groups most alike, and turned so
 * that the ends that meet are the more alike ones.
 * @param likeness symmetric: [n, n]
 * @returns a permutation of 0 … n − 1
 */
export function clusterOrder(likeness: ArrayLike<number>, n: number): number[] {
  const groups = Array.from({ length: n }, (_, i) => [i]);
  const between = groups.map((_, i) => groups.map((__, j) => likeness[i * n + j]!));
  while (groups.length > 1) {
    let [a, b] = [0, 1];
    for (let i = 0; i < groups.length; i++)
      for (let j = i + 1; j < groups.length; j++) if (between[i]![j]! > between[a]![b]!) [a, b] = [i, j];
    const [first, second] = [groups[a]!, groups[b]!];
    for (let i = 0; i < groups.length; i++) {
      const mean = (first.length * between[a]![i]! + second.length * between[b]![i]!) / (first.length + second.length);
      between[a]![i] = between[i]![a] = mean;
    }
    groups[a] = joined(first, second, (i, j) => likeness[i * n + j]!);
    groups.splice(b, 1);
    between.splice(b, 1);
    for (const row of between) row.splice(b, 1);
  }
  return groups[0] ?? [];
}

function joined(a: number[], b: number[], alike: (i: number, j: number) => number): number[] {
  const ways = [
    [a, b],
    [a.toReversed(), b],
    [a, b.toReversed()],
    [b, a],
  ] as const;
  let best: readonly [number[], number[]] = ways[0];
  for (const way of ways) if (alike(way[0].at(-1)!, way[1][0]!) > alike(best[0].at(-1)!, best[1][0]!)) best = way;
  return best.flat();
}
