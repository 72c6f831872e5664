import { addition, division, multiplication, powers, subtraction } from "./arithmetic.ts";
import { type Dice, seededDice } from "./dice.ts";
import { linearEquation, sequence, twoEquations } from "./equations.ts";
import { euclid, fractionSum, mean, percentage, primeFactors } from "./fractions.ts";
import { ages, journey, rectangle, sharing, shopping } from "./wordProblems.ts";
import type { WorkedProblem } from "./workedProblem.ts";

/** Column arithmetic and equations are drawn twice as often as the others. */
const TOPICS = [
  addition,
  addition,
  subtraction,
  subtraction,
  multiplication,
  multiplication,
  division,
  division,
  linearEquation,
  linearEquation,
  twoEquations,
  fractionSum,
  euclid,
  primeFactors,
  percentage,
  shopping,
  sharing,
  journey,
  ages,
  rectangle,
  sequence,
  mean,
  powers,
];

/** One worked problem of a topic drawn by the dice. */
export function workedProblem(dice: Dice): WorkedProblem {
  return dice.pick(TOPICS)(dice);
}

/** The problem as it stands in the corpus: question, steps line by line, answer. */
export function writtenOut({ question, steps, answer }: WorkedProblem): string {
  return [`Problem: ${question}`, ...steps, `Answer: ${answer}`].join("\n");
}

/** A sheet of 3 to 8 worked problems; sheets of different seeds are independent. */
export function worksheet(seed: number): string {
  const dice = seededDice(seed);
  return Array.from({ length: dice.int(3, 8) }, () => writtenOut(workedProblem(dice))).join("\n\n");
}
