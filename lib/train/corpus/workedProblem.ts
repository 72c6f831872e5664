/**
 * One exercise of the seeded program: the question, the steps as they would be written down, and the answer. Every line of a
 * solution is a true statement, so a model that was trained on it can be checked line by line.
 */
export interface WorkedProblem {
  topic: string;
  question: string;
  steps: string[];
  answer: string;
}
