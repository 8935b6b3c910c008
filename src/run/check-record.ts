/**
 * Checks what a run.json says, of which everything that is shown of a run is made. A page loads it when there is a
 * stored run.
 */
import { findWrongIn, isListOf, isText, isWithin, type Kind, parseChoice, show, type Tree } from "../core/checks.ts";
import { ConfigError, FormatError } from "../core/errors.ts";
import type { RunRecord } from "../record/record.ts";
import type { ClassDetails } from "../tasks/classification/classification-training.ts";
import { OBJECTIVES, TASKS } from "../tasks/index.ts";
import { ESTIMATE } from "../tasks/stored.ts";
import type { Results, Stored, Training } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { checkOptions } from "../train/options.ts";

const isPair = (value: unknown) => isListOf(value, isText) && value.length === 2;
const PAIR: Kind = ["two strings", isPair];
const TEXT_OR_PAIR: Kind = ["a string, or two", (value) => isText(value) || isPair(value)];
const COUNTS: Kind = [
  "an array of three counts",
  (value) => isListOf(value, (one) => isWithin(one, { min: 0, whole: true })) && value.length === 3,
];

/** Throws FormatError unless `object`, which is at `path` of a record, has values of these kinds. */
function check(object: object, kinds: Tree, where: string, path?: string): void {
  const wrong = findWrongIn(object, kinds, path);
  if (wrong) refuse(where, wrong.key, wrong.expected, show(wrong.value));
}

const AGAINST = { "against?": { difference: ESTIMATE, p: "number", standing: "text" } } as const;
const STEP = { step: "count", epoch: "number", examples: "count", lr: "number" } as const;

const IDENTITY: Tree = {
  ...{ lowrank: "text", platform: "text", created: "number", settings: "object", options: "object", model: "text" },
  ...{ revision: "text?", vocabulary: "text?", base: "text", adapter: "text?", data: "object", padTo: "count" },
  ...{ "pairs?": { columns: PAIR }, chat: "boolean?", maxLength: "size", labels: "texts" },
  ...{ unequal: "boolean", counts: { rows: COUNTS, tokens: COUNTS, sha256: "text", nearDuplicates: "count?" } },
  ...{ "trial?": { name: "text", key: "text", model: "text" }, folds: "size?" },
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
  ...{ keptStep: "count", "error?": { name: "text", code: "text?", message: "text" }, files: "named texts" },
  ...{ pending: "named texts?", saved: "count" },
};

/** Measured figures, where a number that is not finite is null in JSON. */
function measuredKinds({ measures, answer: decides, stored: { answer, details } }: Training): Tree {
  const [judged, ...others] = measures;
  const named = measures.flatMap(({ evaluated }) => (typeof evaluated === "string" ? evaluated : []));
  const keys = decides ? named : ["accuracy", "perplexity", ...named];
  const figures = Object.fromEntries(keys.map((key) => [key, "number" as const]));
  const evaluation: Tree = { rows: "count", loss: "number", ...figures };
  const splits = { train: evaluation, "val?": evaluation, test: evaluation };
  const message = {
    text: TEXT_OR_PAIR,
    truth: answer,
    predicted: answer,
    before: "text?",
    probability: "number?",
  } as const;
  const optional = others.map(({ key, statistics }) =>
    statistics ? [`${key}?`, ESTIMATE] : [key, "number or null" as const],
  );
  return {
    evaluations: [{ ...STEP, "train?": { loss: "number", accuracy: "number", norm: "number" }, val: evaluation }],
    "results?": {
      ...{ before: splits, after: splits, parts: [{ name: "text", ...evaluation }] },
      "decision?": {
        ...{ temperature: "number?", threshold: "number?", positive: "count?", thresholds: "numbers?" },
        ...{ precision: "number?", recall: "number?", reached: "number or null?", ofFolds: "text?" },
      },
      test: {
        compared: [
          {
            ...{ name: "text", limits: "text?", alike: "number?", rows: "count" },
            measured: { [judged.key]: ESTIMATE, ...Object.fromEntries(optional) },
            ...{ "unseen?": { rows: "count", ...ESTIMATE }, ...AGAINST },
          },
        ],
        ...{ serves: "text?", rows: "object", samples: [message], mistakes: [message], example: TEXT_OR_PAIR, details },
      },
    },
  };
}

/** Keys of what was measured whose value may be null, for none, and an object of which all values may be. */
const NULLABLE = new Set(
  "results val decision reached unseen against precision recall f1 ranking rocAuc prAuc positive".split(" "),
);
const NULLABLE_ALL = "measured";

/** Measured figures, with NaN where JSON has null for a number that is not finite. */
function withNaN<T>(measured: T, mayBeNull = false): T {
  if (Array.isArray(measured)) return measured.map((one) => (one === null ? Number.NaN : withNaN(one))) as T;
  if (typeof measured !== "object" || measured === null) return measured;
  const revive = ([key, value]: [string, unknown]) =>
    value === null && !mayBeNull && !NULLABLE.has(key)
      ? [key, Number.NaN]
      : [key, withNaN(value, key === NULLABLE_ALL)];
  return Object.fromEntries(Object.entries(measured).map(revive)) as T;
}

/** The record of a run.json. Throws FormatError or ConfigError unless it is one, all through. */
export function parseRecord(json: object, path: string): RunRecord {
  const given = json as RunRecord;
  parseChoice("objective", given.objective, OBJECTIVES, path);
  parseChoice("state", given.state, ["training", "stopped", "finished", "failed"], path);
  check(given, { ...IDENTITY, ...PROGRESS, ...OUTCOME }, path);
  const { evaluations, curve, results } = given;
  const measured = { evaluations, curve, results: results ?? null };
  const record: RunRecord = { ...given, ...withNaN(measured) };
  const training = TRAINING[record.objective];
  const { stored } = training;
  check(record, measuredKinds(training), path);
  checkSettings(record, path);
  checkSizes(record, stored, path);
  return record;
}

function checkSettings({ options }: RunRecord, path: string): void {
  try {
    checkOptions(options);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { expected, found } = error.details;
    refuse(path, `options: ${error.message.split("\n")[0]}`, expected, found);
  }
}

/** What belongs together must be there together, and have as many values. */
function checkSizes(
  { labels, curve, evaluations, results, objective, counts }: RunRecord,
  { columns }: Stored,
  path: string,
): void {
  const expectLength = (name: string, list: { length: number } | undefined, length: number) => {
    if (list && list.length !== length) refuse(path, name, `${length} values`, String(list.length));
  };
  const { least, most = Infinity } = TASKS[objective].outputs;
  if (labels.length < least || labels.length > most)
    refuse(path, "labels", `${least}${most === least ? "" : " or more"}`, labels.join(", "));
  expectLength("curve.loss", curve.loss, curve.examples.length);
  expectLength("curve.accuracy", curve.accuracy, curve.examples.length);
  if (!results) return;
  const { before, after, decision, test } = results;
  if (test.compared.length === 0) refuse(path, "results.test.compared", "at least one value", "none");
  const hasValidation = counts.rows[1]! > 0;
  for (const [name, isThere] of [
    ["evaluations", evaluations.length > 0],
    ["results.before.val", before.val !== null],
    ["results.after.val", after.val !== null],
  ] as const)
    if (isThere !== hasValidation) refuse(path, name, hasValidation ? "a value" : "none without a validation set");
  checkRows(test, columns(labels.length), path);
  const { classes } = test.details as Partial<ClassDetails>;
  expectLength("results.test.details.classes", classes, labels.length);
  for (const { ranking } of classes ?? [])
    for (const { xs, ys } of ranking ? [ranking.roc, ranking.pr] : [])
      expectLength("results.test.details.classes: ranking", ys, xs.length);
  const { positive, threshold, thresholds, precision, recall } = decision ?? {};
  expectLength("results.decision.thresholds", thresholds, labels.length);
  if (positive !== undefined && (positive > 1 || labels.length !== 2))
    refuse(path, "results.decision.positive", "one of two classes", String(positive));
  if (threshold !== undefined && [positive, precision, recall].includes(undefined))
    refuse(path, "results.decision", "a class, precision and recall with a threshold", "none");
}

/** All columns have a value for each row. */
function checkRows({ compared, rows }: Results["test"], columns: Readonly<Record<string, number>>, path: string): void {
  for (const [key, end] of Object.entries(columns)) {
    const isValue = (value: unknown) =>
      typeof value === "number" && (end === Infinity || (Number.isInteger(value) && value >= 0 && value < end));
    const [{ rows: count }] = compared;
    if (isListOf(rows[key], isValue) && rows[key].length === count && count > 0) continue;
    const kind = end === Infinity ? "numbers" : `whole numbers below ${end}`;
    refuse(path, `results.test.rows.${key}`, `${count} ${kind}`);
  }
}

function refuse(where: string, name: string, expected?: string, found?: string): never {
  const details = { where, expected, found };
  throw new FormatError("invalid-field", `${name} is invalid`, details);
}
