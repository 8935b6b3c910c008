/** The result of a run. */
import { MODE_TITLES } from "../../config.ts";
import type { RunRecord } from "../../run/record.ts";
import { confusionLookup, LISTED_CLASSES, type Measured, sortMistakes } from "../../statistics.ts";
import type { Results, TestResults } from "../../train/results.ts";
import { bestBaseline, describeKept, fewRows, nothingLearned, showOwnStanding } from "../../views/comparison.ts";
import type { ErrorReport, PageRun } from "../protocol.ts";
import { byId, h, scrollArea, table } from "./dom.ts";
import { count, loss, percent } from "./format.ts";
import { runMetric } from "./metric.ts";
import { sentence } from "./notice.ts";

/** What was not measured: the parts of a test set before training, classes without test rows. */
const NONE = "–";

/** Shows an ended run's metrics before and after training, its confusion matrix and its misclassified messages. */
export function showOutcome({ id, record }: PageRun): void {
  const { results, step, labels } = record;
  byId("outcome").hidden = results === null;
  const body = byId("outcome-body");
  // A stopped run can be resumed and end again.
  const key = `${id} ${step}`;
  if (!results || body.getAttribute("data-of") === key) return;
  body.setAttribute("data-of", key);
  const { test } = results;
  body.replaceChildren(
    beforeAndAfter(record, results),
    ...(test ? [baselines(test)] : []),
    ...notes(record).map((note) => paragraph(sentence(note))),
    ...(test ? [calibration(test), confusionTable(labels, test), measures(labels, test), mistakes(test)] : []),
  );
}

const asItIs = (name: string) => name;

/** That a run has learned nothing, with a learning rate to try; null if it has learned something. */
export function warning(record: RunRecord): ErrorReport | null {
  const nothing = nothingLearned(record, asItIs);
  if (!nothing) return null;
  const { text, lr } = nothing;
  const { lr: used } = record.options;
  return {
    name: "note",
    summary: text,
    hint: `the learning rate ${used} is probably too ${lr < used ? "high" : "low"} for this method`,
    remedy: { set: { lr } },
  };
}

/** Notes about the result: a small test set, a baseline that is as good, an early end, what was kept. */
function notes(record: RunRecord): string[] {
  const few = fewRows(record);
  // A warning already says that a baseline is better, and what to try.
  const best = nothingLearned(record, asItIs) ? null : bestBaseline(record, asItIs);
  const other = record.options.mode === "all" ? MODE_TITLES.lora : MODE_TITLES.all;
  return [
    ...(few ? [few] : []),
    ...(best === null ? [] : [`${best}. Try a larger model, such as gpt2, or more epochs, or ${other}`]),
    ...describeKept(record),
  ];
}

const paragraph = (text: string) => h("p", { class: "note" }, text);

const twoLines = (text: string, below: string, kind = "") => h("span", { class: kind }, text, h("small", {}, below));

/** "94.5 %", and "92.1–96.3" below it. */
function withInterval({ share, low, high }: Measured): HTMLElement {
  return twoLines(percent(share), `${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)}`);
}

/** The run beside the baselines. */
function baselines({ compared }: TestResults): HTMLElement {
  const rows = compared.map((one) => [
    one.name,
    withInterval({ share: one.accuracy, ...one.interval }),
    percent(one.macroF1),
    one.p === null ? null : showOwnStanding(compared[0], one),
  ]);
  const title = "This run and baselines on the test set, with 95 % intervals and McNemar's exact test";
  return scrollArea("Baselines", table(title, ["Classifier", "Accuracy", "Macro F1", "This run against it"], rows));
}

function calibration({ calibration: { error } }: TestResults): HTMLElement {
  return paragraph(
    `Expected calibration error on the test set: ${percent(error)}, by which the probabilities differ from the share that is right.`,
  );
}

function measures(labels: readonly string[], { classes }: TestResults): HTMLElement {
  if (labels.length > LISTED_CLASSES)
    return paragraph("classes.csv, among the run's files, has precision, recall and F1 of each class.");
  const rows = classes.map(({ rows, precision, recall, f1 }, i) => [
    labels[i],
    count(rows),
    ...[precision, recall, f1].map((of) => (of ? withInterval(of) : NONE)),
  ]);
  const header = ["Class", "Rows", "Precision", "Recall", "F1"];
  return h(
    "details",
    {},
    h("summary", {}, "Precision, recall and F1 of each class"),
    scrollArea("Classes", table("Classes of the test set, with 95 % intervals", header, rows)),
  );
}

function beforeAndAfter(record: RunRecord, { before, after, parts }: Results): HTMLElement {
  const { unequal, objective } = record;
  const metric = runMetric(record);
  const sets = [
    ["Training", "train"],
    ["Validation", "val"],
    ["Test", "test"],
  ] as const;
  const rows = [
    ...sets.map(([name, key]) => [name, before[key], after[key]] as const),
    ...parts.map((part) => [`Test: ${part.name}`, undefined, part] as const),
  ];
  return scrollArea(
    "Before and after",
    table(
      "Before and after",
      [
        "Set",
        objective === "lm" ? "Tokens" : "Rows",
        "Loss before",
        "after",
        `${metric.title} before`,
        "after",
        ...(unequal ? ["Macro F1 before", "after"] : []),
      ],
      rows.map(([name, a, b]) => {
        return [
          name,
          (a ?? b) ? count((a ?? b)!.rows) : NONE,
          a ? loss(a.loss) : NONE,
          b ? loss(b.loss) : NONE,
          a ? metric.show(metric.of(a)) : NONE,
          b ? metric.show(metric.of(b)) : NONE,
          ...(unequal ? [a, b].map((one) => (one ? percent(one.macroF1!) : NONE)) : []),
        ];
      }),
    ),
  );
}

function confusionTable(labels: readonly string[], { confusions }: TestResults): HTMLElement {
  if (labels.length > LISTED_CLASSES) {
    const mistaken = sortMistakes(confusions).slice(0, LISTED_CLASSES);
    const rows = mistaken.map(({ truth, predicted, rows }) => [labels[truth]!, labels[predicted]!, count(rows)]);
    const title = `Test set: most frequent errors among ${labels.length} classes`;
    return scrollArea("Most frequent errors", table(title, ["True label", "Predicted", "Messages"], rows));
  }
  const of = confusionLookup(confusions);
  const cell = (truth: number, predicted: number): HTMLElement => {
    const n = of(truth, predicted);
    const sum = labels.reduce((total, _, other) => total + of(truth, other), 0);
    const kind = predicted === truth ? "right" : n > 0 ? "mistaken" : "";
    return twoLines(count(n), sum > 0 ? percent(n / sum) : NONE, kind);
  };
  return scrollArea(
    "Confusion matrix",
    table(
      "Confusion matrix of the test set",
      ["True label", ...labels.map((label) => `Predicted ${label}`)],
      labels.map((label, truth) => [label, ...labels.map((_, predicted) => cell(truth, predicted))]),
    ),
    "confusion",
  );
}

function mistakes({ mistakes: wrong, confusions }: TestResults): HTMLElement {
  const all = sortMistakes(confusions).reduce((sum, { rows }) => sum + rows, 0);
  if (all === 0) return paragraph("No test message was misclassified.");
  const shown = wrong.length < all ? `, ${wrong.length} most confident` : "";
  return h(
    "details",
    {},
    h("summary", {}, `Misclassified: ${count(all)} test messages${shown}`),
    scrollArea(
      "Misclassified messages",
      table(
        "Misclassified messages, most confident first",
        ["True label", "Predicted", "Probability", "Message"],
        wrong.map(({ text, truth, predicted, probability }) => [truth, predicted, percent(probability), text]),
      ),
      "tall messages",
    ),
  );
}
