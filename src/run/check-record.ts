/**
 * Checks what a run.json says, of which everything that is shown of a run is made. A page loads it when there is a
 * stored run.
 */
import { findWrongIn, type Tree } from "../check-tree.ts";
import { isListOf, isText, isWithin, type Kind, parseChoice, show } from "../checks.ts";
import { ConfigError, FormatError } from "../errors.ts";
import { OBJECTIVES, type Objective } from "../tasks/index.ts";
import { checkOptions, DEFAULTS } from "../train/options.ts";
import type { RunRecord } from "./record.ts";

const isPair = (value: unknown) => isListOf(value, isText) && value.length === 2;
const PAIR: Kind = ["two strings", isPair];
const TEXT_OR_PAIR: Kind = ["a string, or two", (value) => isText(value) || isPair(value)];
const CLASS: Kind = ["0 or 1, or null", (value) => value === null || value === 0 || value === 1];
const COUNTS: Kind = [
  "an array of three counts",
  (value) => isListOf(value, (one) => isWithin(one, { min: 0, whole: true })) && value.length === 3,
];

/** Throws FormatError unless `object`, which is at `path` of a record, has values of these kinds. */
function check(object: object, kinds: Tree, where: string, path?: string): void {
  const wrong = findWrongIn(object, kinds, path);
  if (wrong) refuse(where, wrong.key, wrong.expected, show(wrong.value));
}

const INTERVAL = { low: "number", high: "number" } as const;
const ESTIMATE = { value: "number", ...INTERVAL } as const;
const SHARE = { share: "number", ...INTERVAL } as const;
const ACCURACY = { rows: "count", correct: "count", accuracy: "number", interval: INTERVAL } as const;
const POINTS = { xs: "numbers", ys: "numbers" } as const;
const AGAINST = { "against?": { difference: ESTIMATE, p: "number", standing: "text" } } as const;
const LABEL = { rows: "count", predicted: "count", "precision?": SHARE, "recall?": SHARE, "f1?": SHARE } as const;
const STEP = { step: "count", epoch: "number", examples: "count", lr: "number" } as const;

const IDENTITY: Tree = {
  ...{ lowrank: "text", platform: "text", created: "number", settings: "object", options: "object", model: "text" },
  ...{ revision: "text?", vocabulary: "text?", base: "text", adapter: "text?", data: "object", padTo: "count" },
  ...{ "pairs?": { columns: PAIR }, maxLength: "size", labels: "texts" },
  ...{ unequal: "boolean", counts: { rows: COUNTS, tokens: COUNTS, sha256: "text" } },
  "trial?": { name: "text", key: "text", model: "text" },
};

const PROGRESS: Tree = {
  "device?": { kind: "text", name: "text", software: "boolean", why: "text?", refused: "count?", insteadOf: "text?" },
  ...{ trainable: "count", parameters: "count", memory: "number", flops: "number", step: "count", steps: "count" },
  ...{ stepsPerEpoch: "count", epoch: "number", examples: "count", seconds: "number" },
  curve: {
    ...{ group: "size", examples: "numbers", loss: "numbers", accuracy: "numbers" },
    open: { steps: "count", loss: "number", accuracy: "number" },
  },
};

const OUTCOME: Tree = {
  ...{ keptStep: "count", "error?": { name: "text", code: "text?", message: "text" }, files: "texts", saved: "count" },
};

/** What an evaluation has in addition to its loss. */
const MEASURED = {
  classification: { accuracy: "number", macroF1: "number" },
  regression: { meanError: "number" },
  "multi-label": { accuracy: "number", microF1: "number", macroF1: "number" },
  lm: { accuracy: "number", perplexity: "number", bitsPerByte: "number" },
} as const satisfies Record<Objective, Tree>;

/** What was measured, where a number that is not finite is null in JSON. */
function measuredKinds(objective: Objective): Tree {
  const evaluation = { rows: "count", loss: "number", ...MEASURED[objective] } as const;
  const splits = { train: evaluation, val: evaluation, test: evaluation };
  const message = { text: TEXT_OR_PAIR, truth: "text", predicted: "text", probability: "number" } as const;
  const scored = { text: TEXT_OR_PAIR, truth: "number", predicted: "number" } as const;
  const labelled = { text: TEXT_OR_PAIR, truth: "texts", predicted: "texts" } as const;
  const classification: Tree = {
    confusions: [{ truth: "count", predicted: "count", rows: "count" }],
    classes: [{ ...LABEL, "ranking?": { rocAuc: "number", prAuc: "number", roc: POINTS, pr: POINTS } }],
    compared: [
      {
        ...{
          name: "text",
          limits: "text?",
          ...ACCURACY,
          "unseen?": ACCURACY,
          macroF1: "number",
          balancedAccuracy: "number",
        },
        ...{ mcc: "number or null", ...AGAINST },
      },
    ],
    ...{ rocAuc: "number or null", prAuc: "number or null", verdicts: "numbers", example: TEXT_OR_PAIR },
    positive: CLASS,
    calibration: {
      bins: [{ middle: "number", rows: "count", confidence: "number", accuracy: "number", interval: INTERVAL }],
      error: ESTIMATE,
    },
    ...{ samples: [message], mistakes: [message] },
  };
  const regression: Tree = {
    compared: [
      {
        ...{
          name: "text",
          limits: "text?",
          rows: "count",
          rmse: ESTIMATE,
          mae: ESTIMATE,
          "r2?": ESTIMATE,
          "spearman?": ESTIMATE,
        },
        ...AGAINST,
      },
    ],
    ...{ errors: "numbers", bins: [{ truth: "number", predicted: "number", interval: INTERVAL }] },
    ...{ samples: [scored], mistakes: [scored], example: TEXT_OR_PAIR },
  };
  const multiLabel: Tree = {
    compared: [
      {
        name: "text",
        limits: "text?",
        rows: "count",
        microF1: ESTIMATE,
        macroF1: ESTIMATE,
        exact: ESTIMATE,
        ...AGAINST,
      },
    ],
    labels: [{ ...LABEL, threshold: "number" }],
    ...{ verdicts: "numbers", samples: [labelled], mistakes: [labelled], example: TEXT_OR_PAIR },
  };
  return {
    evaluations: [{ ...STEP, "train?": { loss: "number", accuracy: "number", norm: "number" }, val: evaluation }],
    "seeds?": {
      runs: [{ seed: "count", "val?": evaluation, "test?": evaluation, seconds: "number?", error: "text?" }],
      "test?": { n: "count", mean: "number", sd: "number", interval: INTERVAL },
    },
    "results?": {
      ...{ before: splits, after: splits, parts: [{ name: "text", ...evaluation }] },
      "decision?": {
        ...{
          temperature: "number?",
          threshold: "number?",
          positive: "count?",
          precision: "number?",
          recall: "number?",
        },
        reached: "number or null?",
      },
      ...{ "test?": classification, "scores?": regression, "multiLabel?": multiLabel },
      "texts?": { of: "text", tokens: "numbers", bytes: "numbers", loss: "numbers" },
    },
  };
}

/** The objective of which there are such results. */
const OBJECTIVE = {
  decision: "classification",
  test: "classification",
  scores: "regression",
  multiLabel: "multi-label",
  texts: "lm",
} as const;

/** Keys of what was measured whose value may be null, for none. */
const NULLABLE = new Set(
  "results decision test texts reached unseen mcc against ranking precision recall f1 rocAuc prAuc positive r2 spearman".split(
    " ",
  ),
);

/** What was measured, with NaN where JSON has null for a number that is not finite. */
function withNaN<T>(measured: T): T {
  if (Array.isArray(measured)) return measured.map((one) => (one === null ? Number.NaN : withNaN(one))) as T;
  if (typeof measured !== "object" || measured === null) return measured;
  const revive = ([key, value]: [string, unknown]) =>
    value === null && !NULLABLE.has(key) ? [key, Number.NaN] : [key, withNaN(value)];
  return Object.fromEntries(Object.entries(measured).map(revive)) as T;
}

/** The record of a run.json. Throws FormatError or ConfigError unless it is one, all through. */
export function parseRecord(json: object, path: string): RunRecord {
  const given = json as RunRecord;
  parseChoice("objective", given.objective, OBJECTIVES, path);
  parseChoice("state", given.state, ["training", "stopped", "finished", "failed"], path);
  check(given, { ...IDENTITY, ...PROGRESS, ...OUTCOME }, path);
  const { evaluations, curve, seeds, results } = given;
  const measured = { evaluations, curve, results: results ?? null, ...(seeds && { seeds }) };
  const record: RunRecord = { ...given, ...withNaN(measured) };
  check(record, measuredKinds(record.objective), path);
  checkSettings(record, path);
  checkSizes(record, path);
  return record;
}

const KIND_OF = new Map<string, "number" | "text" | "boolean">([
  ["number", "number"],
  ["string", "text"],
  ["boolean", "boolean"],
]);

/** Kinds of options, by the types of their defaults; `checkOptions` checks the others, and the values. */
const OPTIONS: Tree = {
  ...Object.fromEntries(
    Object.entries(DEFAULTS).flatMap(([name, value]) => {
      const kind = Array.isArray(value) ? "texts" : KIND_OF.get(typeof value);
      return kind ? [[name, kind]] : [];
    }),
  ),
  positive: "text or null",
};

function checkSettings({ options }: RunRecord, path: string): void {
  check(options, OPTIONS, path, "options.");
  try {
    checkOptions(options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { expected, found } = error.details;
    refuse(path, `options: ${error.message.split("\n")[0]}`, expected, found);
  }
}

/** What belongs together must be there together, and have as many values. */
function checkSizes({ labels, curve, evaluations, seeds, results, objective }: RunRecord, path: string): void {
  const expectLength = (name: string, list: { length: number } | undefined, length: number) => {
    if (list && list.length !== length) refuse(path, name, `${length} values`, String(list.length));
  };
  const expectSome = (name: string, list: { length: number } | undefined) => {
    if (list?.length === 0) refuse(path, name, "at least one value", "none");
  };
  if (objective === "classification" && labels.length < 2) refuse(path, "labels", "two or more", labels.join(", "));
  expectLength("curve.loss", curve.loss, curve.examples.length);
  expectLength("curve.accuracy", curve.accuracy, curve.examples.length);
  for (const [i, { val, test }] of (seeds?.runs ?? []).entries())
    if (!val !== !test) refuse(path, `seeds.runs[${i}]`, "val and test, or none of them", val ? "no test" : "no val");
  if (seeds?.test && !seeds.runs.some(({ test }) => test)) refuse(path, "seeds.test", "a run with a test", "none");
  if (!results) return;
  expectSome("evaluations", evaluations);
  const { test, scores, multiLabel, texts, decision } = results;
  for (const [name, of] of Object.entries(OBJECTIVE))
    if (of !== objective && (results[name as keyof typeof OBJECTIVE] ?? null) !== null)
      refuse(path, `results.${name}`, `none: the objective is ${objective}`);
  expectLength("results.test.classes", test?.classes, labels.length);
  expectLength("results.multiLabel.labels", multiLabel?.labels, labels.length);
  expectSome("results.test.compared", test?.compared);
  expectSome("results.scores.compared", scores?.compared);
  expectSome("results.multiLabel.compared", multiLabel?.compared);
  for (const { truth, predicted } of test?.confusions ?? [])
    if (Math.max(truth, predicted) >= labels.length)
      refuse(path, "results.test.confusions", `classes from 0 to ${labels.length - 1}`, `${truth}, ${predicted}`);
  for (const { ranking } of test?.classes ?? [])
    for (const { xs, ys } of ranking ? [ranking.roc, ranking.pr] : [])
      expectLength("results.test.classes: ranking", ys, xs.length);
  expectLength("results.texts.tokens", texts?.tokens, texts?.loss.length ?? 0);
  expectLength("results.texts.bytes", texts?.bytes, texts?.loss.length ?? 0);
  const { positive = 0, threshold, precision, recall } = decision ?? {};
  if (positive > 1) refuse(path, "results.decision.positive", "0 or 1", String(positive));
  if (threshold !== undefined && (precision === undefined || recall === undefined))
    refuse(path, "results.decision", "precision and recall with a threshold", "none");
}

function refuse(where: string, name: string, expected?: string, found?: string): never {
  const details = { where, ...(expected === undefined ? {} : { expected }), ...(found === undefined ? {} : { found }) };
  throw new FormatError("invalid-field", `${name} is invalid`, details);
}
