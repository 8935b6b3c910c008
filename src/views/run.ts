/** A run as blocks: what it has reached, from its record alone. */

import type { Block, Table } from "../document/blocks.ts";
import { formatCount } from "../format.ts";
import type { RunRecord } from "../run/record.ts";
import { LISTED_CLASSES, sortMistakes } from "../statistics.ts";
import type { TestResults } from "../train/results.ts";
import { labelBlocks } from "./label-tables.ts";
import { rankingCharts, reliabilityChart } from "./run-charts.ts";
import {
  baselinesTable,
  beforeAndAfter,
  classesTable,
  confusionMatrix,
  confusionPairs,
  measuresTable,
  mistakesTable,
} from "./run-tables.ts";
import { scoreBlocks } from "./score-tables.ts";
import { aboutOneSeed, seedBlocks } from "./seeds.ts";
import { describeNotes, describeRun } from "./verdicts.ts";

/** What a run has done, and its results. */
export function runBlocks(record: RunRecord): Block[] {
  return [{ kind: "text", text: describeRun(record) }, ...resultBlocks(record)];
}

/**
 * The results of a run, with what to know about them; nothing of one that was not measured on the test set. `advises`:
 * whether notes say what to try.
 */
export function resultBlocks(record: RunRecord, { advises = true } = {}): Block[] {
  const { results } = record;
  if (!results) return [];
  return [
    ...seedBlocks(record),
    beforeAndAfter(record, results),
    ...(results.test ? classifierBlocks(record, results.test) : []),
    ...(results.scores ? scoreBlocks(results.scores, record) : []),
    ...(results.multiLabel ? labelBlocks(results.multiLabel, record) : []),
    ...[...describeNotes(record, advises), ...aboutOneSeed(record)].map((text): Block => ({ kind: "note", text })),
  ];
}

function classifierBlocks(record: RunRecord, test: TestResults): Block[] {
  return [
    baselinesTable(record, test),
    measuresTable(record, test),
    confusions(record, test),
    classes(record, test),
    mistakes(record, test),
    calibration(test),
    ...curves(record, test),
  ];
}

/** The confusion matrix, or the most frequent errors if there are many classes. */
function confusions({ labels }: RunRecord, { confusions }: TestResults): Table {
  if (labels.length <= LISTED_CLASSES) return confusionMatrix(labels, confusions);
  const caption = `Test set: most frequent errors among ${formatCount(labels.length)} classes; the run's confusion.csv has all`;
  return confusionPairs(labels, sortMistakes(confusions).slice(0, LISTED_CLASSES), caption);
}

/** All classes, or the worst ones if there are many. */
function classes({ labels }: RunRecord, { classes }: TestResults): Block {
  const all = classes.map((one, i) => ({ ...one, label: labels[i]! }));
  if (labels.length <= LISTED_CLASSES) {
    const table = classesTable(all, "Classes of the test set, with 95 % intervals");
    return { kind: "details", title: "Precision, recall and F1 of each class", blocks: [table] };
  }
  const present = all.filter(({ f1 }) => f1).toSorted((a, b) => a.f1!.share - b.f1!.share);
  const caption =
    `The classes with the lowest F1, of ${formatCount(present.length)} in the test set, with 95 % intervals; ` +
    "the run's classes.csv has all";
  const table = classesTable(present.slice(0, LISTED_CLASSES), caption);
  return { kind: "details", title: "The classes with the lowest F1", blocks: [table] };
}

function mistakes({ pairs }: RunRecord, { mistakes, verdicts }: TestResults): Block {
  const wrong = verdicts.filter((right) => !right).length;
  if (wrong === 0) return { kind: "text", text: "No test message was misclassified." };
  const title = `Misclassified: ${formatCount(wrong)} of ${formatCount(verdicts.length)} test messages`;
  const part = mistakes.length < wrong ? `the ${mistakes.length} most confident` : "most confident first";
  return { kind: "details", title, blocks: [mistakesTable(mistakes, `${title}, ${part}`, pairs)] };
}

function calibration({ calibration }: TestResults): Block {
  const caption =
    "Share of right messages over the probability of the predicted class: the calibration error is their mean distance";
  const chart = reliabilityChart(calibration);
  return {
    kind: "details",
    title: "Calibration of the probabilities",
    blocks: [{ kind: "figure", name: "reliability", caption, chart }],
  };
}

function curves({ labels }: RunRecord, test: TestResults): Block[] {
  const charts = rankingCharts(labels, test);
  if (!charts) return [];
  return [
    {
      kind: "details",
      title: "ROC and precision-recall curves",
      blocks: [
        { kind: "figure", name: "roc", caption: "True positive rate over false positive rate", chart: charts.roc },
        { kind: "figure", name: "precision-recall", caption: "Precision over recall", chart: charts.pr },
      ],
    },
  ];
}
