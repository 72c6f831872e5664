import { clock } from "../clock.ts";
import type { TrainingProgress } from "./train.ts";

/**
 * A step of training in one line: loss in nats a token, load-balancing loss and the largest MaxVio of a layer where the model
 * has experts, tokens a second, and the time left.
 * @example await train(run, tokens, { onStep: (progress) => console.log(progressText(progress)) });
 */
export function progressText(p: TrainingProgress): string {
  return [
    `step ${p.step}/${p.steps}`,
    `loss ${p.crossEntropy.toFixed(3)}`,
    ...(p.loadBalance === null
      ? []
      : [`balance ${p.loadBalance.toFixed(3)}`, `MaxVio ${Math.max(...p.maxViolation).toFixed(2)}`]),
    `${Math.round(p.tokensPerSecond)} tokens/s`,
    `${clock(p.secondsLeft)} left`,
  ].join("  ");
}
