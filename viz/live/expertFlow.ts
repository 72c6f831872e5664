import type { Block, ExpertFlowLive, Shape } from "../contract.ts";
import { besides } from "../flow.ts";
import { percent, times } from "../format.ts";
import { curvePath, rectPath } from "../svg.ts";
import { unpack } from "../unpack.ts";
import type { View } from "./stage.ts";
import type { Line } from "./tip.ts";

type Link = ExpertFlowLive["links"][number];

/** Pointing at a block lights the whole paths of its tokens; at a ribbon, its numbers beside the expected ones. */
export function expertFlow(live: ExpertFlowLive): View {
  const { layers, nExperts, nTokens, links, blocks, unit } = live;
  const through = unpack(live.through);
  const others = blocks.length - nExperts;
  const width = others + links.length;
  const nodeOf = (column: number, row: number): number => column * nExperts + row;
  const colorOf = (expert: number): string => live.colors?.[expert] ?? "var(--accent)";
  const swatch = (expert: number): Partial<Line> => (live.colors === null ? {} : { swatch: live.colors[expert]! });
  const share = (tokens: number): string => percent(tokens / nTokens);

  const ribbon = ({ gap, source, target, y0, y1 }: Link, thick: number): Shape => {
    const [from, to]: [Block, Block] = [blocks[nodeOf(gap, source)]!, blocks[nodeOf(gap + 1, target)]!];
    return { d: curvePath(from.x + from.width, y0, to.x, y1), stroke: colorOf(source), width: thick, opacity: 0.85 };
  };
  const part = (node: number, of: number): Shape => {
    const { x, y, width: wide, height, row } = blocks[node]!;
    return { d: rectPath(x, y, wide, height * of), fill: colorOf(row) };
  };
  const largest = (chosen: Link[], say: (link: Link) => Line): Line[] =>
    chosen
      .sort((a, b) => b.tokens - a.tokens)
      .slice(0, 3)
      .map(say);

  return {
    dims: true,
    cellOf: (mark) => ({ column: links[mark]!.gap, row: links[mark]!.source }),
    read({ column, row, mark }) {
      if (mark !== undefined) {
        const { gap, source, target, tokens, expected } = links[mark]!;
        return {
          head: `layer ${layers[gap]}, expert ${source} → layer ${layers[gap + 1]}, expert ${target}`,
          lines: [
            { name: "tokens on this link", value: share(tokens), strong: true, ...swatch(source) },
            { name: "expected if independent", value: share(expected) },
            { name: "ratio", value: times(tokens / expected) },
          ],
        };
      }
      const line = (name: string, expert: number, { tokens, expected }: Link): Line => ({
        name: `${name} ${expert}`,
        value: `${share(tokens)}, ${times(tokens / expected)} as expected`,
        ...swatch(expert),
      });
      return {
        head: `layer ${layers[column]}, expert ${row}`,
        lines: [
          { name: "load", value: share(live.load[nodeOf(column, row)]!), strong: true, ...swatch(row) },
          { name: "uniform", value: percent(1 / nExperts) },
          ...largest(
            links.filter((link) => link.gap === column - 1 && link.target === row),
            (link) => line("from", link.source, link),
          ),
          ...largest(
            links.filter((link) => link.gap === column && link.source === row),
            (link) => line("to", link.target, link),
          ),
        ],
      };
    },
    light({ column, row, mark }) {
      if (mark !== undefined) {
        const { gap, source, target, tokens, expected } = links[mark]!;
        const ends = [nodeOf(gap, source), nodeOf(gap + 1, target)];
        const core = { ...ribbon(links[mark]!, expected * unit), stroke: "var(--ink)" };
        return [ribbon(links[mark]!, tokens * unit), core, ...ends.map((node) => part(node, 1))];
      }
      const node = nodeOf(column, row);
      const of = through.subarray(node * width, (node + 1) * width).map((code) => code / 255);
      const lit = links.map((link, i) => ribbon(link, of[others + i]! * link.tokens * unit));
      const parts = blocks
        .filter((block) => block.column !== column)
        .map((block) => nodeOf(block.column, block.row))
        .map((other) => part(other, of[besides(other, column, nExperts)]!));
      return [...lit, ...parts, part(node, 1)];
    },
  };
}
