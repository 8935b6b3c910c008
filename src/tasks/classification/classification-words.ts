/** What people read of a classifier with one class a message. */

import { formatCount, formatLoss, percent } from "../../core/format.ts";
import type { Ranking, Reliability } from "../../core/measures.ts";
import {
  type Confusion,
  confusionLookup,
  countConfusions,
  LISTED_CLASSES,
  sortMistakes,
} from "../../core/statistics.ts";
import {
  type Block,
  type Cell,
  details,
  figure,
  makeTable,
  type RowColumn,
  type Table,
  text,
} from "../../document/blocks.ts";
import { brief } from "../../document/cells.ts";
import type { Axis, Line, LineChart } from "../../document/chart.ts";
import { readFigure } from "../compare.ts";
import { classesTable, classRows, countMessages, FEW_ROWS, MESSAGES, mistakesTable, tooFew } from "../message-words.ts";
import type { Classification } from "../predictions.ts";
import { LISTED, type Results, type Shown, type TestResults, type Usage, type Words } from "../task.ts";
import { type ClassDetails, type ClassResults, training } from "./classification-training.ts";

type Test = TestResults<ClassDetails>;

const CLASSES = ["Class", "Classes"] as const;

export const words: Words<ClassDetails> = {
  loss: "cross-entropy (nats)",
  choice: "classes, one a message",
  learned: (labels) => `of ${labels} classes`,
  ...MESSAGES,
  data: classRows(CLASSES),
  headline({ labels }, { after, decision, test }) {
    const { rows, accuracy = 0 } = after.test;
    const right = `${formatCount(Math.round(accuracy * rows))} of ${countMessages(rows)} right${tooFew(rows)}`;
    if (rows >= FEW_ROWS && decision?.threshold !== undefined) {
      const { precision, recall } = test.details.classes[decision.positive!]!;
      const [p, r] = [precision, recall].map((one) => (one ? percent(one.share) : "–"));
      return `${right}; of "${brief(labels[decision.positive!]!)}" by its threshold precision ${p}, recall ${r}`;
    }
    return right + describeRare(labels, test);
  },
  blocks: (run, { test }) => [
    classesTable(nameClasses(run, test), CLASSES, rankingColumns(test)),
    confusions(run, test),
    mistakes(run, test),
    details("Further measures", [measuresTable(run, test)]),
    calibration(test),
    ...curves(run, test),
  ],
  notes: ({ labels, options }, results) => describeDecision(results, labels, options.threshold),
};

/** From this share on, a class makes a model look good that never says another one. */
const MOST = 0.9;

/** "; of the 15 that are not ham, 4", where most are ham. */
function describeRare(labels: readonly string[], { details: { classes } }: Test): string {
  const rows = classes.reduce((sum, one) => sum + one.rows, 0);
  const at = classes.findIndex((one) => one.rows >= MOST * rows);
  if (at < 0 || rows < FEW_ROWS || classes[at]!.rows === rows) return "";
  const others = classes.toSpliced(at, 1);
  const right = others.reduce((sum, one) => sum + Math.round(one.rows * (one.recall?.share ?? 0)), 0);
  return `; of the ${formatCount(rows - classes[at]!.rows)} that are not ${brief(labels[at]!)}, ${formatCount(right)}`;
}

const nameClasses = ({ labels }: Shown, { details }: Test) =>
  details.classes.map((one, i) => ({ ...one, label: labels[i]! }));

/** The run on the test set in single figures. */
function measuresTable({ labels }: Shown, { compared: [{ measured }], details }: Test): Table {
  const { positive, rocAuc, prAuc, calibration } = details;
  const of = positive === null ? "" : ` of ${labels[positive]}`;
  return makeTable<null>(
    "measures",
    `Measures of the test set${of ? "" : "; areas are means over the classes, each against the rest"}`,
    [
      ...training.measures.map(({ title, key, format }, i) => ({
        ...{ title: i === 0 ? null : title, key, format },
        value: () => readFigure(measured[key]),
      })),
      { title: `ROC-AUC${of}`, key: "roc_auc", value: () => rocAuc, format: formatLoss },
      { title: `PR-AUC${of}`, key: "pr_auc", value: () => prAuc, format: formatLoss },
      {
        ...{ title: "Calibration error", key: "calibration_error", interval: true, format: percent },
        value: () => calibration.error,
      },
    ],
    [null],
  );
}

/** The confusion matrix, or the pairs of classes if there are many, of which people see the most frequent errors. */
function confusions({ labels }: Shown, { rows: { truth = [], predicted = [] } }: Test): Table {
  const confusions = countConfusions(truth, predicted);
  return labels.length <= LISTED_CLASSES ? confusionMatrix(labels, confusions) : confusionPairs(labels, confusions);
}

function confusionMatrix(labels: readonly string[], confusions: readonly Confusion[]): Table {
  const find = confusionLookup(confusions);
  const sums = labels.map((_, truth) => labels.reduce((sum, _, predicted) => sum + find(truth, predicted), 0));
  return makeTable<number>(
    "confusion",
    "Confusion matrix of the test set: true labels in rows, predictions in columns",
    [
      { title: "True label", key: "truth", value: (truth) => labels[truth] },
      ...labels.map((label, predicted) => ({
        ...{ title: label, key: `predicted ${label}` },
        value: (truth: number): Cell => {
          const value = find(truth, predicted);
          const tone = predicted === truth ? "right" : value > 0 ? "mistaken" : "none";
          return { value, share: sums[truth]! > 0 ? value / sums[truth]! : null, tone };
        },
      })),
    ],
    [...labels.keys()],
  );
}

function confusionPairs(labels: readonly string[], confusions: readonly Confusion[]): Table {
  const mistakes = sortMistakes(confusions);
  const right = confusions.filter(({ truth, predicted }) => truth === predicted);
  const table = makeTable<Confusion>(
    "confusion",
    `Test set: most frequent errors among ${formatCount(labels.length)} classes`,
    [
      { title: "True label", key: "truth", value: ({ truth }) => labels[truth] },
      { title: "Predicted", key: "predicted", value: ({ predicted }) => labels[predicted] },
      { title: "Messages", key: "rows", value: ({ rows }) => rows, format: formatCount },
    ],
    [...mistakes, ...right],
  );
  return { ...table, shown: Math.min(LISTED_CLASSES, mistakes.length) };
}

function rankingColumns({ details: { classes } }: Test): RowColumn<ClassResults>[] {
  const isRanked = classes.some(({ ranking }) => ranking !== null);
  const area = (title: string, key: string, of: (one: Ranking) => number): RowColumn<ClassResults> => ({
    ...{ title: isRanked ? title : null, key, format: formatLoss },
    value: ({ ranking }) => ranking && of(ranking),
  });
  return [area("ROC-AUC", "roc_auc", ({ rocAuc }) => rocAuc), area("PR-AUC", "pr_auc", ({ prAuc }) => prAuc)];
}

function mistakes({ pairs }: Shown, { mistakes, rows: { truth = [], predicted = [] } }: Test): Block {
  const wrong = truth.filter((label, row) => predicted[row] !== label).length;
  if (wrong === 0) return text("No test message was misclassified.");
  const title = `Misclassified: ${formatCount(wrong)} of ${countMessages(truth.length)}`;
  const part = mistakes.length < wrong ? `the ${mistakes.length} most confident` : "most confident first";
  const table = mistakesTable(mistakes, `${title}, ${part}`, ["True label", "Predicted"], pairs);
  return details(title, [table]);
}

const shareAxis = (title: string): Axis => ({
  ...{ title, show: percent, from: 0, to: 1 },
  tick: (value) => percent(value, 0),
});

function calibration(test: Test): Block {
  const caption =
    "Share of right messages over the probability of the predicted class: the calibration error is their mean distance";
  return details("Calibration of the probabilities", [
    figure("reliability", caption, reliabilityChart(test.details.calibration)),
  ]);
}

/** The share of right rows against the probability of the predicted class, and the rows of each bin. */
function reliabilityChart({ bins, error }: Reliability): LineChart {
  const rows = bins.reduce((sum, bin) => sum + bin.rows, 0);
  return {
    kind: "lines",
    title: "Reliability",
    note: `test set, ${formatCount(rows)} rows; expected calibration error ${percent(error.value)}`,
    x: shareAxis("probability of the predicted class"),
    y: shareAxis("accuracy"),
    lines: [
      {
        name: "accuracy, 95 % interval",
        ...{ color: 0, look: "solid" },
        xs: bins.map(({ confidence }) => confidence),
        ys: bins.map(({ accuracy }) => accuracy),
        intervals: bins.map(({ interval }) => interval),
      },
      { name: "perfect calibration", color: 1, look: "reference", xs: [0, 1], ys: [0, 1] },
    ],
    counts: {
      title: "rows",
      width: 0.1,
      xs: bins.map(({ middle }) => middle),
      values: bins.map((bin) => bin.rows),
    },
  };
}

/** The ROC and the precision-recall curves: of the positive of two classes, of each of more against the rest. */
function curves({ labels }: Shown, { details: { classes, positive } }: Test): Block[] {
  const ranked = classes.flatMap(({ ranking }, id) =>
    ranking && (positive === null || id === positive) ? [{ ranking, id }] : [],
  );
  if (ranked.length === 0) return [];
  const lines = (curve: "roc" | "pr", area: "rocAuc" | "prAuc"): Line[] =>
    ranked.map(({ ranking, id }, color) => ({
      ...{ name: `${brief(labels[id]!)}, area ${formatLoss(ranking[area])}`, color, look: "solid" },
      ...ranking[curve],
    }));
  const chart = (title: string, x: string, y: string, lines: Line[]): LineChart => ({
    ...{ kind: "lines", title, x: shareAxis(x), y: shareAxis(y), lines },
  });
  const chance: Line = { name: "chance", color: 1, look: "reference", xs: [0, 1], ys: [0, 1] };
  const roc = chart("ROC", "false positive rate", "true positive rate", [...lines("roc", "rocAuc"), chance]);
  const pr = chart("Precision and recall", "recall", "precision", lines("pr", "prAuc"));
  return [
    details("ROC and precision-recall curves", [
      figure("roc", "True positive rate over false positive rate", roc),
      figure("precision-recall", "Precision over recall", pr),
    ]),
  ];
}

/** What a threshold does to the accuracy. */
function describeCost({ after, test }: Results<ClassDetails>): string {
  const { mostProbable } = test.details;
  if (mostProbable === undefined) return "";
  const [is, would] =
    mostProbable > after.test.accuracy! ? [", which costs accuracy on purpose", "are"] : ["", "would be"];
  return `${is}: by the more probable class ${percent(mostProbable)} of the test messages ${would} correct`;
}

const ON_VALIDATION = "on the validation set";
const ON_FOLDS = "on the folds' validation sets, on average";

/** What the validation set has chosen, or why it has not. */
function describeDecision(results: Results<ClassDetails>, labels: readonly string[], rule: string): string[] {
  const { temperature, threshold, positive = 0, precision, recall, reached, ofFolds } = results.decision ?? {};
  const [by, where] = ofFolds === undefined ? [rule, ON_VALIDATION] : [ofFolds, ON_FOLDS];
  const name = `"${brief(labels[positive]!)}"`;
  const sentences = [
    temperature !== undefined &&
      `Calibrated: logits are divided by ${temperature.toPrecision(3)}, the temperature with the lowest loss ${where}.`,
    threshold !== undefined &&
      `Threshold: ${name} is predicted from a probability of ${percent(threshold)} (${by} ${where}: ` +
        `precision ${percent(precision!)}, recall ${percent(recall!)})${describeCost(results)}.`,
    reached !== undefined &&
      `No threshold was chosen by ${by}: ${
        reached === null
          ? `the validation set has no row of ${name}`
          : `the highest precision of ${name} ${where} is ${percent(reached)}`
      }. The more probable class is predicted.`,
  ];
  return sentences.filter((one) => one !== false);
}

const choice = (labels: readonly string[], which = "one of") =>
  labels.length > LISTED
    ? `${which} ${labels.length} classes`
    : `${labels.slice(0, -1).join(", ")} or ${labels.at(-1)}`;

export const usage: Usage<Classification> = {
  transformers: "AutoModelForSequenceClassification",
  hub: "text-classification",
  does: (texts, labels) => `classifies ${texts} as ${choice(labels)}`,
  choice,
  columns: () => ["predicted", "probability"],
  cells: ({ label, probability }) => [label, probability],
  python: ["print(dict(zip(model.config.id2label.values(), logits[0].softmax(-1).tolist())))"],
  javascript: ["console.log(model.config.id2label, logits.softmax(-1).tolist());"],
  hasPipeline: true,
};
