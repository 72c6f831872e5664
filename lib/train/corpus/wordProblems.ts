import type { Dice } from "./dice.ts";
import { fraction } from "./numerals.ts";
import type { WorkedProblem } from "./workedProblem.ts";

const NAMES = ["Ada", "Emmy", "Carl", "Sofia", "Leon", "Mary", "Alan", "Grace", "Kurt", "Rosa", "Henri", "Hana"];
const GOODS = ["apples", "pencils", "stamps", "marbles", "books", "oranges", "tickets", "shells", "buttons"];

export function shopping(dice: Dice): WorkedProblem {
  const [name, goods, extra] = [dice.pick(NAMES), dice.pick(GOODS), dice.pick(GOODS)];
  const [count, price] = [dice.int(3, 24), dice.int(2, 30)];
  const [more, cost] = [dice.int(2, 9), dice.int(2, 40)];
  const total = count * price + more * cost;
  const note = Math.ceil((total + 1) / 50) * 50;
  return {
    topic: "shopping",
    question: `${name} buys ${count} ${goods} at ${price} coins each and ${more} boxes of ${extra} at ${cost} coins a box, and pays with ${note} coins. How much change is there?`,
    steps: [
      `the ${goods} cost ${count} * ${price} = ${count * price} coins`,
      `the boxes cost ${more} * ${cost} = ${more * cost} coins`,
      `together ${count * price} + ${more * cost} = ${total} coins`,
      `change: ${note} - ${total} = ${note - total} coins`,
    ],
    answer: `${note - total} coins`,
  };
}

export function sharing(dice: Dice): WorkedProblem {
  const [name, friend] = [dice.pick(NAMES), dice.pick(NAMES)];
  const goods = dice.pick(GOODS);
  const [people, each, left] = [dice.int(3, 12), dice.int(3, 30), dice.int(0, 2)];
  const total = people * each + left;
  const given = dice.int(2, Math.min(20, total - 2));
  return {
    topic: "sharing",
    question: `${name} has ${total - given} ${goods} and gets ${given} more from ${friend === name ? "a neighbour" : friend}. They are shared equally among ${people} children. How many does each child get, and how many are left?`,
    steps: [`there are ${total - given} + ${given} = ${total} ${goods}`, `${total} = ${people} * ${each} + ${left}`],
    answer: `${each} for each child, ${left} left`,
  };
}

export function journey(dice: Dice): WorkedProblem {
  const vehicle = dice.pick(["A train", "A bus", "A ship", "A cyclist", "A lorry"]);
  const [speed, hours] = [dice.int(3, 30) * 4, dice.int(2, 9)];
  const [rest, later] = [dice.int(1, 5), dice.int(3, 30) * 4];
  const distance = speed * hours + later * rest;
  const meanSpeed = fraction(distance, hours + rest);
  return {
    topic: "journey",
    question: `${vehicle} travels ${hours} hours at ${speed} km per hour and then ${rest} hours at ${later} km per hour. How far does it go, and what is its mean speed?`,
    steps: [
      `first part: ${speed} * ${hours} = ${speed * hours} km`,
      `second part: ${later} * ${rest} = ${later * rest} km`,
      `distance: ${speed * hours} + ${later * rest} = ${distance} km`,
      `time: ${hours} + ${rest} = ${hours + rest} hours`,
      `mean speed: ${distance} / ${hours + rest} = ${meanSpeed} km per hour`,
    ],
    answer: `${distance} km, ${meanSpeed} km per hour`,
  };
}

export function ages(dice: Dice): WorkedProblem {
  const [older, younger] = [dice.pick(NAMES.slice(0, 6)), dice.pick(NAMES.slice(6))];
  const [age, gap] = [dice.int(4, 40), dice.int(2, 25)];
  const sum = age + age + gap;
  return {
    topic: "ages",
    question: `${older} is ${gap} years older than ${younger}. Together they are ${sum} years old. How old are they?`,
    steps: [
      `let ${younger} be a years old, then ${older} is a + ${gap}`,
      `a + a + ${gap} = ${sum}`,
      `2a = ${sum} - ${gap} = ${sum - gap}`,
      `a = ${sum - gap} / 2 = ${age}, and ${age} + ${gap} = ${age + gap}`,
    ],
    answer: `${younger} is ${age}, ${older} is ${age + gap}`,
  };
}

export function rectangle(dice: Dice): WorkedProblem {
  const [width, height] = [dice.int(2, 60), dice.int(2, 60)];
  return {
    topic: "rectangle",
    question: `A garden is ${width} m long and ${height} m wide. Find its area and its perimeter.`,
    steps: [
      `area: ${width} * ${height} = ${width * height} square metres`,
      `perimeter: 2 * (${width} + ${height}) = 2 * ${width + height} = ${2 * (width + height)} metres`,
    ],
    answer: `${width * height} square metres, ${2 * (width + height)} metres`,
  };
}
