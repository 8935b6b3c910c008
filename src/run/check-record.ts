/**
 * Checks what a run.json says, of which everything that is shown of a run is made. A page loads it when there is a
 * stored run.
 */
import { parseChoice } from "../config.ts";
import { ConfigError, FormatError } from "../errors.ts";
import { findWrong, isListOf, isText, KINDS as JSON_KINDS, type Kinds as KindTable, show } from "../kinds.ts";
import { OBJECTIVES, type Objective } from "../tasks/index.ts";
import { checkOptions, DEFAULTS } from "../train/options.ts";
import type { RunRecord } from "./record.ts";

const isNumber = (value: unknown) => typeof value === "number";
const isPair = (value: unknown) => isListOf(value, isText) && value.length === 2;

/** Kinds of values of a record. A figure is what was measured, also where that is not finite. */
const KINDS = {
  ...JSON_KINDS,
  figure: ["a number", isNumber],
  "figure or null": ["a number, or null", (value: unknown) => value === null || isNumber(value)],
  figures: ["a list of numbers", (value: unknown) => isListOf(value, isNumber)],
  counts: ["a list of three counts", (value) => isListOf(value, JSON_KINDS.count[1]) && value.length === 3],
  pair: ["two strings", isPair],
  "text or null": ["a string, or null", (value: unknown) => value === null || isText(value)],
  "class or null": ["0 or 1, or null", (value: unknown) => value === null || value === 0 || value === 1],
  "text or pair": ["a string, or two", (value: unknown) => isText(value) || isPair(value)],
} as const satisfies KindTable<string>;

type FieldKind = keyof typeof KINDS;

/**
 * The kinds of an object's values by their keys: one of them, those of an object within, or those of the objects of a
 * list. Kinds with "?" may be missing; what is within an object, with "?" after its key, may be null or missing.
 */
interface Kinds {
  readonly [key: string]: FieldKind | `${FieldKind}?` | Kinds | readonly [Kinds];
}

/** Throws FormatError unless `object`, which is at `path` of a record, has values of these kinds. */
function check(object: object, kinds: Kinds, where: string, path = ""): void {
  const expect = (key: string, kind: FieldKind | `${FieldKind}?`) => {
    const wrong = findWrong(object, { [key]: kind }, KINDS);
    if (wrong) refuse(where, path + key, wrong.expected, show(wrong.value));
  };
  for (const [name, kind] of Object.entries(kinds)) {
    const key = typeof kind === "string" ? name : name.replace("?", "");
    const value = (object as Record<string, unknown>)[key];
    if (typeof kind === "string") expect(key, kind);
    else if (key === name || (value ?? null) !== null) {
      expect(key, Array.isArray(kind) ? "objects" : "object");
      if (Array.isArray(kind))
        for (const [i, item] of (value as object[]).entries()) check(item, kind[0], where, `${path}${key}[${i}].`);
      else check(value as object, kind as Kinds, where, `${path}${key}.`);
    }
  }
}

const INTERVAL = { low: "figure", high: "figure" } as const;
const ESTIMATE = { value: "figure", ...INTERVAL } as const;
const SHARE = { share: "figure", ...INTERVAL } as const;
const ACCURACY = { rows: "count", correct: "count", accuracy: "figure", interval: INTERVAL } as const;
const POINTS = { xs: "figures", ys: "figures" } as const;
const AGAINST = { "against?": { difference: ESTIMATE, p: "figure", standing: "text" } } as const;
const LABEL = { rows: "count", predicted: "count", "precision?": SHARE, "recall?": SHARE, "f1?": SHARE } as const;
const STEP = { step: "count", epoch: "figure", examples: "count", lr: "figure" } as const;

const IDENTITY: Kinds = {
  ...{ lowrank: "text", platform: "text", created: "figure", settings: "object", options: "object", model: "text" },
  ...{ revision: "text?", vocabulary: "text?", base: "text", adapter: "text?", data: "object", padTo: "count" },
  ...{ "pairs?": { columns: "pair" }, maxLength: "size", labels: "texts" },
  ...{ unequal: "boolean", counts: { rows: "counts", tokens: "counts", sha256: "text" } },
  "trial?": { name: "text", key: "text", model: "text" },
};

const PROGRESS: Kinds = {
  "device?": { kind: "text", name: "text", software: "boolean", why: "text?", refused: "count?", insteadOf: "text?" },
  ...{ trainable: "count", parameters: "count", memory: "figure", flops: "figure", step: "count", steps: "count" },
  ...{ stepsPerEpoch: "count", epoch: "figure", examples: "count", seconds: "figure" },
  curve: {
    ...{ group: "size", examples: "figures", loss: "figures", accuracy: "figures" },
    open: { steps: "count", loss: "figure", accuracy: "figure" },
  },
};

const OUTCOME: Kinds = {
  ...{ keptStep: "count", "error?": { name: "text", code: "text?", message: "text" }, files: "texts", saved: "count" },
};

/** What an evaluation has in addition to its loss. */
const MEASURED = {
  classification: { accuracy: "figure", macroF1: "figure" },
  regression: { meanError: "figure" },
  "multi-label": { accuracy: "figure", microF1: "figure", macroF1: "figure" },
  lm: { accuracy: "figure", perplexity: "figure", bitsPerByte: "figure" },
} as const satisfies Record<Objective, Kinds>;

/** What was measured, where a number that is not finite is null in JSON. */
function measuredKinds(objective: Objective): Kinds {
  const evaluation = { rows: "count", loss: "figure", ...MEASURED[objective] } as const;
  const splits = { train: evaluation, val: evaluation, test: evaluation };
  const message = { text: "text or pair", truth: "text", predicted: "text", probability: "figure" } as const;
  const scored = { text: "text or pair", truth: "figure", predicted: "figure" } as const;
  const labelled = { text: "text or pair", truth: "texts", predicted: "texts" } as const;
  const classification: Kinds = {
    confusions: [{ truth: "count", predicted: "count", rows: "count" }],
    classes: [{ ...LABEL, "ranking?": { rocAuc: "figure", prAuc: "figure", roc: POINTS, pr: POINTS } }],
    compared: [
      {
        ...{
          name: "text",
          limits: "text?",
          ...ACCURACY,
          "unseen?": ACCURACY,
          macroF1: "figure",
          balancedAccuracy: "figure",
        },
        ...{ mcc: "figure or null", ...AGAINST },
      },
    ],
    ...{ rocAuc: "figure or null", prAuc: "figure or null", verdicts: "figures", example: "text or pair" },
    positive: "class or null",
    calibration: {
      bins: [{ middle: "figure", rows: "count", confidence: "figure", accuracy: "figure", interval: INTERVAL }],
      error: ESTIMATE,
    },
    ...{ samples: [message], mistakes: [message] },
  };
  const regression: Kinds = {
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
    ...{ errors: "figures", bins: [{ truth: "figure", predicted: "figure", interval: INTERVAL }] },
    ...{ samples: [scored], mistakes: [scored], example: "text or pair" },
  };
  const multiLabel: Kinds = {
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
    labels: [{ ...LABEL, threshold: "figure" }],
    ...{ verdicts: "figures", samples: [labelled], mistakes: [labelled], example: "text or pair" },
  };
  return {
    evaluations: [{ ...STEP, "train?": { loss: "figure", accuracy: "figure", norm: "figure" }, val: evaluation }],
    "seeds?": {
      runs: [{ seed: "count", "val?": evaluation, "test?": evaluation, seconds: "figure?", error: "text?" }],
      "test?": { n: "count", mean: "figure", sd: "figure", interval: INTERVAL },
    },
    "results?": {
      ...{ before: splits, after: splits, parts: [{ name: "text", ...evaluation }] },
      "decision?": {
        ...{
          temperature: "figure?",
          threshold: "figure?",
          positive: "count?",
          precision: "figure?",
          recall: "figure?",
        },
        reached: "figure or null?",
      },
      ...{ "test?": classification, "scores?": regression, "multiLabel?": multiLabel },
      "texts?": { of: "text", tokens: "figures", bytes: "figures", loss: "figures" },
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

const KIND_OF = new Map<string, "figure" | "text" | "boolean">([
  ["number", "figure"],
  ["string", "text"],
  ["boolean", "boolean"],
]);

/** Kinds of options, by the types of their defaults; `checkOptions` checks the others, and the values. */
const OPTIONS: Kinds = {
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
