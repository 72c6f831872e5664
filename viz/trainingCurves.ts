import { drawPanels, layOutPanels, roomOf } from "./curvePanels.ts";
import { gatherPoints, pointsOf, type TrainingCurvesData } from "./curvePoints.ts";
import { Figure } from "./figure.ts";
import { count, real } from "./format.ts";
import { frame, MARGIN, WIDTH } from "./frame.ts";
import { tableOf } from "./html.ts";
import { packReal } from "./pack.ts";
import { textWidth } from "./tokens.ts";
import { checkHistory, finite, type TrainingHistory } from "./trainingHistory.ts";

export interface TrainingCurvesOptions {
  /** Steps on a logarithmic axis, to see the beginning; false where absent. */
  logSteps?: boolean;
}

/**
 * Losses, loads, entropies and the like over the steps of a training run.
 *
 * A panel is a quantity, a line its course; for a quantity of each layer there is a line a layer, from pale for the first
 * to full colour for the last, labelled at its end. Where steps are closer than two pixels, or more in a figure of many lines, a point is the mean of its
 * steps, and a panel with a single line has a band from the lowest to the highest of them. Steps at which a quantity was
 * not measured have no point: the line joins its neighbours, and few points are dots. The dashed line is the baseline,
 * such as an even load.
 * @throws ShapeError for values of another length than the steps; RangeError for steps that do not rise, an infinity,
 * nothing to draw, or more lines or panels than fit
 * @example show(trainingCurves(runCurves(records, { dVocab: 4096 }), { logSteps: true }))
 */
export function trainingCurves(
  history: TrainingHistory,
  { logSteps = false }: TrainingCurvesOptions = {},
): Figure<TrainingCurvesData> {
  checkHistory(history, logSteps);
  const { steps, curves } = history;
  const points = pointsOf(history, roomOf(curves.length), logSteps);
  const data = gatherPoints(history, points);
  const layout = layOutPanels(data, points);
  const title = titleOf(curves.map(({ name }) => name.split(/[,:]/)[0]!));
  const each = Math.max(...data.nSteps);
  const subtitle = [
    `${count(steps.length)} steps measured, from ${count(steps[0]!)} to ${count(steps[steps.length - 1]!)}`,
    ...(each > 1 ? [`a point is the mean of up to ${count(each)}`] : []),
    ...(logSteps ? ["logarithmic axis of steps"] : []),
  ].join("; ");
  const description = `${subtitle}. ${describe(data)}`;
  const lines = data.panels.flatMap((panel) => panel.lines.map((line) => ({ panel, line })));
  return new Figure(data, {
    title,
    summary: description,
    caption:
      "A line is a quantity over the steps of training; where there is one for each layer, from pale for the first layer to full " +
      "colour for the last. The pale band around a single line spans the lowest and highest of the steps behind each point. " +
      "Dashed: the baseline named beside it.",
    svg: frame({
      title,
      subtitle,
      description,
      height: layout.height,
      body: drawPanels(data, layout, points, logSteps),
    }),
    table: tableOf(["quantity", "layer", "first", "lowest", "highest", "last", "baseline"], lines.length, (i) => {
      const { panel, line } = lines[i]!;
      const seen = line.mean.filter((value) => !Number.isNaN(value));
      return [
        panel.name,
        line.layer === null ? "all" : String(line.layer),
        ...[seen[0]!, Math.min(...finite(line.low)), Math.max(...finite(line.high)), seen.at(-1)!].map(real),
        panel.baseline === null ? "none" : `${real(panel.baseline.value)} (${panel.baseline.name})`,
      ];
    }),
    live: {
      view: "trainingCurves",
      blocks: layout.blocks,
      tokens: [],
      start: 0,
      first: data.first,
      last: data.last,
      panels: data.panels.map(({ name, baseline, lines: own }) => ({
        name,
        baseline,
        layers: own.map(({ layer }) => layer),
        mean: packReal(own.flatMap(({ mean }) => [...mean])),
        low: packReal(own.flatMap(({ low }) => [...low])),
        high: packReal(own.flatMap(({ high }) => [...high])),
      })),
    },
  });
}

/** Names up to three quantities, as far as a line of bold letters of 15 pixels holds them, and counts the rest. */
function titleOf(names: readonly string[]): string {
  const room = (WIDTH - 2 * MARGIN) / (15 * 1.15);
  for (let n = Math.min(3, names.length); n > 0; n--) {
    const more = names.length > n ? ` and ${names.length - n} more` : "";
    const title = `Training, step by step: ${names.slice(0, n).join(", ")}${more}`;
    if (textWidth(title) <= room) return title;
  }
  return `Training, step by step: ${names.length === 1 ? "one quantity" : `${names.length} quantities`}`;
}

function describe({ panels }: TrainingCurvesData): string {
  const says = panels.map(({ name, lines, baseline }) => {
    const ends = lines.map(({ mean }) => finite(mean));
    const range = (values: number[]): string => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      return real(low) === real(high) ? real(low) : `${real(low)}–${real(high)}`;
    };
    const from = range(ends.flatMap((values) => values.slice(0, 1)));
    const to = range(ends.flatMap((values) => values.slice(-1)));
    return `${name}: ${from} to ${to}${baseline === null ? "" : `, ${baseline.name} ${real(baseline.value)}`}`;
  });
  return `${says.join("; ")}.`;
}
