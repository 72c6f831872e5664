import type { RoutingTrace } from "../lib/trace/record.ts";
import type { ExplorerState } from "./contract.ts";
import { type ExplorerData, gatherExplorer, mostTokens } from "./explorerData.ts";
import { chosenAt, weightAt } from "./explorerPanels.ts";
import { drawExplorer, layOutExplorer } from "./explorerPicture.ts";
import { Figure } from "./figure.ts";
import { count, percent, probability, quoted } from "./format.ts";
import { frame } from "./frame.ts";
import { tableOf } from "./html.ts";
import { packReal, packWhole } from "./pack.ts";
import type { Token } from "./tokens.ts";
import { type TraceWindowOptions, traceWindow } from "./traceWindow.ts";

export interface ExplorerOptions extends TraceWindowOptions {
  /** What is shown and kept at first: a state that an explorer gave, or part of one. */
  state?: Partial<ExplorerState>;
}

/**
 * One text, seen through its routing: text, routing grid, router heatmap and load, linked.
 *
 * Above is the text; then a cell for each token and layer, holding its chosen experts as in `routingGrid`; then, for one
 * layer, a cell for each token and expert with the router's probability, a dot on the chosen, as in `routerHeatmap`; beside
 * it that layer's load over the whole trace, with the uniform share and its 95 % band, as in `expertLoad`. Pointing at any
 * of them lights the same token, layer and expert in all: the expert's slices, the words that it serves (stronger for more
 * weight), its row and its bar, and the token's path through the layers. A click keeps the point and chooses the layer;
 * arrow keys move, Enter keeps, Escape lets go. What is kept is one small object, shown above the picture: given back as
 * `state`, it brings the same picture again. Where probabilities were not recorded, the heatmap shows the weights of the
 * chosen.
 * @throws RangeError for a window that does not exist or fit, a state that the trace does not have, an expert that does not
 * exist, or a number that is not finite
 * @example show(explorer(trace, { state: { layer: 2, token: 14, expert: 3 } }))
 */
export function explorer(trace: RoutingTrace, options: ExplorerOptions = {}): Figure<ExplorerData> {
  const { layers, nExperts, topK } = trace;
  const window = traceWindow("explorer", trace, options, mostTokens(trace));
  const data = gatherExplorer(trace, window, options.state ?? {});
  const { nTokens, start, state, full } = data;
  const layout = layOutExplorer(data, window.tokens);
  const title = `Explorer: ${count(nTokens)} tokens through ${layers.length} layers of ${nExperts} experts, ${topK} for each token`;
  const subtitle = `${window.text}; uniform routing: probability ${probability(1 / nExperts)}, ${percent(topK / nExperts)} of the tokens, load ${percent(1 / nExperts)}`;
  const description = `${subtitle}. ${describe(data, window.tokens)}`;
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "Text, routing by token and layer, the router's probabilities in one layer (dots: chosen), and that layer's load (dashed: " +
      "uniform, band: 95 % under uniform routing). Pointing at one lights the same token, layer and expert in all; a click keeps " +
      "it and chooses the layer.",
    svg: frame({
      title,
      subtitle,
      description,
      height: layout.height,
      body: drawExplorer(data, layout, window.tokens),
    }),
    table: tableOf(["position", "token", ...layers.map((layer) => `layer ${layer}`)], nTokens, (t) => [
      String(start + t),
      window.tokens[t]!.string,
      ...layers.map((_, row) =>
        chosenAt(data, t, row)
          .map((e) => (data.weights === null ? String(e) : `${e} (${probability(weightAt(data, t, row, e))})`))
          .join(" · "),
      ),
    ]),
    live: {
      view: "explorer",
      blocks: layout.blocks,
      tokens: window.tokens.map((token) => token.string),
      start,
      state,
      layers: [...layers],
      nExperts,
      topK,
      indices: packWhole(data.indices),
      weights: data.weights === null ? null : packReal(data.weights),
      probs: data.probs === null ? null : packReal(data.probs),
      load: packReal(data.load),
      low: data.low,
      high: data.high,
      nLoad: data.nLoad,
      full,
      shape: data.shape,
      colors: data.colors,
    },
  });
}

/** The kept point in words, and its layer's busiest expert. */
function describe(data: ExplorerData, tokens: readonly Token[]): string {
  const { state, layers, load, nExperts, start, nTokens } = data;
  const row = layers.indexOf(state.layer);
  const shares = Array.from({ length: nExperts }, (_, e) => load[row * nExperts + e]!);
  const busiest = shares.indexOf(Math.max(...shares));
  const parts = [
    `Layer ${state.layer}: busiest expert ${busiest} with ${percent(shares[busiest]!)} of the assignments`,
  ];
  if (state.token !== null) {
    const t = state.token - start;
    parts.push(
      `position ${state.token}, ${quoted(tokens[t]!.string)}, takes experts ${chosenAt(data, t, row).join(", ")}`,
    );
  }
  if (state.expert !== null) {
    const { expert } = state;
    const uses = Array.from({ length: nTokens }, (_, t) => t).filter((t) =>
      chosenAt(data, t, row).includes(expert),
    ).length;
    parts.push(`expert ${expert} serves ${count(uses)} of these tokens`);
  }
  return `${parts.join("; ")}.`;
}
