/** A table of published benchmark results, as its authors give them. */
export interface PublishedTable {
  title: string;
  source: string;
  /** What was run by whom, as far as the source says. */
  conditions: string;
  /** What is scored, and in which unit; percent where absent. */
  quantity?: string;
  models: readonly string[];
  rows: readonly PublishedRow[];
}

export interface PublishedRow {
  benchmark: string;
  /** Examples in the prompt and how the answer counts, where the source says. */
  setting: string;
  /** Questions of the test, for the uncertainty that comes from their number alone; null: an average, or not known. */
  questions: number | null;
  /** One for each model; null where the source has none. */
  values: readonly (number | null)[];
  /** The ± of each, where the source gives it. */
  spread?: readonly (number | null)[];
  /** Where a value was got in another way: by model. */
  otherwise?: Readonly<Record<string, string>>;
}

const ANNOUNCEMENT = "databricks.com/blog/introducing-dbrx-new-state-art-open-llm, 27 March 2024";

// Sizes of the tests: Clark et al. 2018 (ARC-challenge), Zellers et al. 2019 (HellaSwag, validation), Hendrycks et al. 2021
// (MMLU), Lin et al. 2022 (TruthfulQA), Sakaguchi et al. 2020 (WinoGrande, development), Cobbe et al. 2021 (GSM8k),
// Chen et al. 2021 (HumanEval).
const QUESTIONS = {
  arc: 1172,
  hellaSwag: 10042,
  mmlu: 14042,
  truthfulQa: 817,
  winoGrande: 1267,
  gsm8k: 1319,
  humanEval: 164,
};

/** Table 1 of the announcement: open models. */
export const OPEN_MODELS: PublishedTable = {
  title: "DBRX and open models",
  source: `${ANNOUNCEMENT}, table 1`,
  conditions: "instruction-tuned and base models side by side; settings differ where marked",
  models: [
    "DBRX Instruct",
    "Mixtral Instruct",
    "Mixtral base",
    "LLaMA2-70B chat",
    "LLaMA2-70B base",
    "Grok-1",
    "CodeLLaMA-70B Instruct",
  ],
  rows: [
    {
      benchmark: "Open LLM Leaderboard",
      setting: "mean of six",
      questions: null,
      values: [74.5, 72.7, 68.4, 62.4, 67.9, null, null],
    },
    {
      benchmark: "ARC-challenge",
      setting: "25-shot",
      questions: QUESTIONS.arc,
      values: [68.9, 70.1, 66.4, 64.6, 67.3, null, null],
    },
    {
      benchmark: "HellaSwag",
      setting: "10-shot",
      questions: QUESTIONS.hellaSwag,
      values: [89.0, 87.6, 86.5, 85.9, 87.3, null, null],
    },
    {
      benchmark: "MMLU",
      setting: "5-shot",
      questions: QUESTIONS.mmlu,
      values: [73.7, 71.4, 71.9, 63.9, 69.8, 73.0, null],
    },
    {
      benchmark: "TruthfulQA",
      setting: "0-shot",
      questions: QUESTIONS.truthfulQa,
      values: [66.9, 65.0, 46.8, 52.8, 44.9, null, null],
    },
    {
      benchmark: "WinoGrande",
      setting: "5-shot",
      questions: QUESTIONS.winoGrande,
      values: [81.8, 81.1, 81.7, 80.5, 83.7, null, null],
    },
    {
      benchmark: "GSM8k",
      setting: "5-shot chain of thought, maj@1",
      questions: QUESTIONS.gsm8k,
      values: [66.9, 61.1, 57.6, 26.7, 54.1, 62.9, null],
      otherwise: { "Grok-1": "8-shot" },
    },
    {
      benchmark: "Gauntlet v0.3",
      setting: "mean of over 30 tasks",
      questions: null,
      values: [66.8, 60.7, 56.8, 52.8, 56.4, null, null],
    },
    {
      benchmark: "HumanEval",
      setting: "0-shot, pass@1",
      questions: QUESTIONS.humanEval,
      otherwise: { "CodeLLaMA-70B Instruct": "Meta's own figure" },
      values: [70.1, 54.8, 40.2, 32.2, 31.0, 63.2, 67.8],
    },
  ],
};

/** Table 2 of the announcement: closed models. */
export const CLOSED_MODELS: PublishedTable = {
  title: "DBRX and closed models",
  source: `${ANNOUNCEMENT}, table 2`,
  conditions: "settings differ between models; those that are known are marked",
  models: [
    "DBRX Instruct",
    "GPT-3.5",
    "GPT-4",
    "Claude 3 Haiku",
    "Claude 3 Sonnet",
    "Claude 3 Opus",
    "Gemini 1.0 Pro",
    "Gemini 1.5 Pro",
    "Mistral Medium",
    "Mistral Large",
  ],
  rows: [
    {
      benchmark: "MMLU",
      setting: "",
      questions: QUESTIONS.mmlu,
      values: [73.7, 70.0, 86.4, 75.2, 79.0, 86.8, 71.8, 81.9, 75.3, 81.2],
    },
    {
      benchmark: "HellaSwag",
      setting: "",
      questions: QUESTIONS.hellaSwag,
      values: [89.0, 85.5, 95.3, 85.9, 89.0, 95.4, 84.7, 92.5, 88.0, 89.2],
    },
    {
      benchmark: "HumanEval",
      setting: "",
      questions: QUESTIONS.humanEval,
      values: [70.1, 48.1, 67.0, 75.9, 73.0, 84.9, 67.7, 71.9, 38.4, 45.1],
    },
    {
      benchmark: "GSM8k",
      setting: "",
      questions: QUESTIONS.gsm8k,
      values: [72.8, 57.1, 92.0, 88.9, 92.3, 95.0, 86.5, 91.7, 66.7, 81.0],
      otherwise: { "Gemini 1.0 Pro": "maj1@32", "Gemini 1.5 Pro": "11-shot" },
    },
    {
      benchmark: "WinoGrande",
      setting: "",
      questions: QUESTIONS.winoGrande,
      values: [81.8, 81.6, 87.5, null, null, null, null, null, 88.0, 86.7],
    },
  ],
};

/** The first row of table 2, which is no percentage. */
export const MT_BENCH: PublishedTable = {
  title: "DBRX and closed models: MT-Bench",
  source: `${ANNOUNCEMENT}, table 2`,
  conditions: "MT-Bench (corrected), five runs, ± as published",
  quantity: "points of 10, as a model judges",
  models: CLOSED_MODELS.models,
  rows: [
    {
      benchmark: "MT-Bench",
      setting: "",
      questions: null,
      values: [8.39, null, null, 8.41, 8.54, 9.03, 8.23, null, 8.05, 8.9],
      spread: [0.08, null, null, 0.04, 0.09, 0.06, 0.08, null, 0.12, 0.06],
    },
  ],
};

/** Table 3 of the announcement: long contexts. */
export const LONG_CONTEXT: PublishedTable = {
  title: "Long contexts",
  source: `${ANNOUNCEMENT}, table 3`,
  conditions: "KV-Pairs and HotpotQAXL; the number of questions is not known",
  models: ["DBRX Instruct", "Mixtral Instruct", "GPT-3.5 Turbo", "GPT-4 Turbo"],
  rows: [
    {
      benchmark: "answer in the first third",
      setting: "",
      questions: null,
      values: [45.1, 41.3, 37.3, 49.3],
      otherwise: { "GPT-3.5 Turbo": "up to 16K" },
    },
    {
      benchmark: "answer in the middle third",
      setting: "",
      questions: null,
      values: [45.3, 42.7, 37.3, 49.0],
      otherwise: { "GPT-3.5 Turbo": "up to 16K" },
    },
    {
      benchmark: "answer in the last third",
      setting: "",
      questions: null,
      values: [48.0, 44.4, 37.0, 50.9],
      otherwise: { "GPT-3.5 Turbo": "up to 16K" },
    },
    { benchmark: "2K", setting: "", questions: null, values: [59.1, 64.6, 36.3, 69.3] },
    { benchmark: "4K", setting: "", questions: null, values: [65.1, 59.9, 35.9, 63.5] },
    { benchmark: "8K", setting: "", questions: null, values: [59.5, 55.3, 45.0, 61.5] },
    { benchmark: "16K", setting: "", questions: null, values: [27.0, 20.1, 31.7, 26.0] },
    { benchmark: "32K", setting: "", questions: null, values: [19.9, 14.0, null, 28.5] },
  ],
};

/** Table 4 of the announcement: questions over retrieved passages. */
export const RETRIEVAL: PublishedTable = {
  title: "Retrieval",
  source: `${ANNOUNCEMENT}, table 4`,
  conditions: "ten passages found by bge-large-en-v1.5; the number of questions is not known",
  models: ["DBRX Instruct", "Mixtral Instruct", "LLaMA2-70B chat", "GPT-3.5 Turbo", "GPT-4 Turbo"],
  rows: [
    { benchmark: "Natural Questions", setting: "", questions: null, values: [60.0, 59.1, 56.5, 57.7, 63.9] },
    { benchmark: "HotPotQA", setting: "", questions: null, values: [55.0, 54.2, 54.7, 53.0, 62.9] },
  ],
};

/** One row of the announcement's table on training efficiency. */
export interface TrainingRow {
  model: string;
  /** In billions; null where the source has none. */
  total: number | null;
  active: number;
  /** Tokens of training in 10^12 where the source gives them. */
  tokens: number | null;
  /** Gauntlet score in percent. */
  gauntlet: number;
  /** FLOPs of training relative to the first row of its group. */
  flops: number;
}

/** Table 5 of the announcement: quality against FLOPs of training, two groups. */
export const TRAINING_EFFICIENCY: readonly (readonly TrainingRow[])[] = [
  [
    { model: "DBRX MoE-A", total: 7.7, active: 2.2, tokens: null, gauntlet: 30.5, flops: 1 },
    { model: "MPT-7B", total: null, active: 6.7, tokens: 1, gauntlet: 30.9, flops: 3.7 },
    { model: "DBRX Dense-A", total: null, active: 6.7, tokens: 1, gauntlet: 39.0, flops: 3.7 },
    { model: "DBRX Dense-A, half the tokens", total: null, active: 6.7, tokens: 0.5, gauntlet: 32.1, flops: 1.85 },
  ],
  [
    { model: "DBRX MoE-B", total: 23.5, active: 6.6, tokens: null, gauntlet: 45.5, flops: 1 },
    { model: "LLaMA2-13B", total: null, active: 13.0, tokens: null, gauntlet: 43.8, flops: 1.7 },
  ],
];

/** A published speed of serving, as one model's over another's. */
export interface PublishedSpeed {
  what: string;
  model: "DBRX" | "LLaMA2-70B";
  against: "LLaMA2-70B" | "Dense-132B";
  /** The ratio, or its two ends; "up to" has no low one. */
  low: number | null;
  high: number;
  /** At how many users; null: over the whole figure, which goes up to 200. "few" and "batch" are the source's words. */
  users: number | "few" | "batch" | null;
  /** Read off a chart. */
  read: boolean;
}

const SERVING = "“Accelerated DBRX Inference on Databricks Model Serving”, 16 April 2024";

export const SPEED_SOURCES = { announcement: ANNOUNCEMENT, serving: SERVING } as const;

/** Speeds of the announcement (figure 2, in words) and of the serving article (8 x H100, 16 bits, 8-way tensor parallel). */
export const PUBLISHED_SPEEDS: readonly PublishedSpeed[] = [
  { what: "figure 2, in words", model: "DBRX", against: "Dense-132B", low: 2, high: 3, users: null, read: false },
  { what: "figure 2, “up to”", model: "DBRX", against: "LLaMA2-70B", low: null, high: 2, users: null, read: false },
  {
    what: "text generation, first point",
    model: "DBRX",
    against: "Dense-132B",
    low: 2.59,
    high: 2.59,
    users: 1,
    read: true,
  },
  {
    what: "text generation, last point",
    model: "DBRX",
    against: "Dense-132B",
    low: 1.97,
    high: 1.97,
    users: 200,
    read: true,
  },
  {
    what: "text generation, first point",
    model: "LLaMA2-70B",
    against: "Dense-132B",
    low: 1.64,
    high: 1.64,
    users: 1,
    read: true,
  },
  {
    what: "text generation, last point",
    model: "LLaMA2-70B",
    against: "Dense-132B",
    low: 1.2,
    high: 1.2,
    users: 200,
    read: true,
  },
  {
    what: "latency with few users",
    model: "DBRX",
    against: "Dense-132B",
    low: 2.2,
    high: 2.2,
    users: "few",
    read: false,
  },
  {
    what: "latency with few users",
    model: "DBRX",
    against: "LLaMA2-70B",
    low: 1.3,
    high: 1.3,
    users: "few",
    read: false,
  },
  {
    what: "throughput in batch",
    model: "DBRX",
    against: "Dense-132B",
    low: 2.5,
    high: 2.5,
    users: "batch",
    read: false,
  },
  {
    what: "throughput in batch",
    model: "DBRX",
    against: "LLaMA2-70B",
    low: 1.8,
    high: 1.8,
    users: "batch",
    read: false,
  },
];

/** All users' output tokens a second at 100 ms a token, read off the serving article's chart. */
export const PUBLISHED_TOTALS: Readonly<Record<"DBRX" | "LLaMA2-70B" | "Dense-132B", number>> = {
  DBRX: 1600,
  "LLaMA2-70B": 790,
  "Dense-132B": 590,
};
