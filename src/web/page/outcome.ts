/** The result of a run. */
import type { Evaluation } from "../../engine/evaluate.ts";
import {
  type Confusion,
  cellsOf,
  classMeasures,
  LISTED_CLASSES,
  type Measured,
  mistakesOf,
} from "../../report/statistics.ts";
import { standingOf } from "../../run/comparison.ts";
import type { Splits } from "../../train/records.ts";
import type { RunRecord } from "../protocol.ts";
import { byId, h, scrollArea, table } from "./dom.ts";
import { count, loss, percent } from "./format.ts";
import { metricOf } from "./metric.ts";
import { sentence } from "./notice.ts";

/** What was not measured: the parts of a test set before training, classes without test rows. */
const NONE = "–";

/** Shows the metrics before and after training, the confusion matrix and the misclassified messages of a run that has ended. */
export function showOutcome(run: RunRecord): void {
  const { before, after, confusions } = run;
  byId("outcome").hidden = after === null;
  const body = byId("outcome-body");
  // A stopped run can go on and end again.
  const key = `${run.id} ${run.step}`;
  if (!before || !after || body.getAttribute("data-of") === key) return;
  body.setAttribute("data-of", key);
  body.replaceChildren(
    beforeAndAfter(run, before, after),
    ...baselines(run),
    ...notes(run),
    ...calibration(run),
    ...(confusions ? [confusionTable, measures, mistakes].map((part) => part(run, confusions)) : []),
  );
}

const paragraph = (text: string) => h("p", { class: "note" }, text);

const twoLines = (text: string, below: string, kind = "") => h("span", { class: kind }, text, h("small", {}, below));

/** "94.5 %", and "92.1–96.3" below it. */
function withInterval({ share, low, high }: Measured): HTMLElement {
  return twoLines(percent(share), `${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)}`);
}

function notes({ resultNotes = [] }: RunRecord): HTMLElement[] {
  return resultNotes.map((note) => paragraph(sentence(note)));
}

/** The run beside the baselines; language models have none. */
function baselines({ compared }: RunRecord): HTMLElement[] {
  if (!compared) return [];
  const rows = compared.map((one) => [
    one.name,
    withInterval({ share: one.accuracy, ...one.interval }),
    percent(one.macroF1),
    one.p === null ? null : standingOf(compared[0]!, one),
  ]);
  const title = "This run and baselines on the test set, with 95 % intervals and McNemar's exact test";
  return [scrollArea("Baselines", table(title, ["Classifier", "Accuracy", "Macro F1", "This run against it"], rows))];
}

function calibration({ calibrationError }: RunRecord): HTMLElement[] {
  if (calibrationError === undefined) return [];
  return [
    paragraph(
      `Expected calibration error on the test set: ${percent(calibrationError)}, by which the probabilities differ from the share that is right.`,
    ),
  ];
}

function measures({ labels }: RunRecord, confusions: readonly Confusion[]): HTMLElement {
  if (labels.length > LISTED_CLASSES)
    return paragraph("classes.csv, among the run's files, has precision, recall and F1 of each class.");
  const rows = classMeasures(confusions, labels.length).map(({ rows, precision, recall, f1 }, i) => [
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

function beforeAndAfter(run: RunRecord, before: Splits<Evaluation>, after: Splits<Evaluation>): HTMLElement {
  const { parts, partNames, unequal, objective } = run;
  const metric = metricOf(run);
  const sets = [
    ["Training", "train"],
    ["Validation", "val"],
    ["Test", "test"],
  ] as const;
  const rows = [
    ...sets.map(([name, key]) => [name, before[key], after[key]] as const),
    ...partNames.map((name, i) => [`Test: ${name}`, undefined, parts?.[i]] as const),
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

function confusionTable({ labels }: RunRecord, confusions: readonly Confusion[]): HTMLElement {
  if (labels.length > LISTED_CLASSES) {
    const mistaken = mistakesOf(confusions).slice(0, LISTED_CLASSES);
    const rows = mistaken.map(({ truth, predicted, rows }) => [labels[truth]!, labels[predicted]!, count(rows)]);
    const title = `Test set: most frequent errors among ${labels.length} classes`;
    return scrollArea("Most frequent errors", table(title, ["True label", "Predicted", "Messages"], rows));
  }
  const of = cellsOf(confusions);
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

function mistakes({ mistakes: wrong }: RunRecord, confusions: readonly Confusion[]): HTMLElement {
  const all = mistakesOf(confusions).reduce((sum, { rows }) => sum + rows, 0);
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
