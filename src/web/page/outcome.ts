/** The result of a run. */
import { cellsOf, classMeasures, type Interval, LISTED_CLASSES, mistakesOf } from "../../report/statistics.ts";
import type { RunRecord } from "../protocol.ts";
import { byId, h, scrollArea, table } from "./dom.ts";
import { count, loss, percent } from "./format.ts";
import { metricOf } from "./metric.ts";
import { sentence } from "./notice.ts";

const NONE = "–";

/**
 * Shows the metrics before and after training, the confusion matrix and the misclassified messages. The layout is the same from
 * the start of the run, so that nothing shifts at its end.
 */
export function showOutcome(run: RunRecord): void {
  byId("outcome").hidden = run.state === "loaded" || (run.error !== null && run.after === null);
  const body = byId("outcome-body");
  const key = [run.id, run.evaluations.length > 0, run.after !== null].join(" ");
  if (body.getAttribute("data-of") === key) return;
  body.setAttribute("data-of", key);
  const ofClassifier = () => [...baselines(run), confusionTable(run), measures(run), mistakes(run)];
  body.replaceChildren(beforeAndAfter(run), ...(run.objective === "lm" ? notes(run) : ofClassifier()));
}

const paragraph = (text: string) => h("p", { class: "note" }, text);

const twoLines = (text: string, below: string, kind = "") => h("span", { class: kind }, text, h("small", {}, below));

/** "94.5 %", and "92.1–96.3" below it. */
function withInterval(share: number, { low, high }: Interval): HTMLElement {
  return twoLines(percent(share), `${(100 * low).toFixed(1)}–${(100 * high).toFixed(1)}`);
}

function notes({ resultNotes = [] }: RunRecord): HTMLElement[] {
  return resultNotes.map((note) => paragraph(sentence(note)));
}

/** The run beside the baselines, and the calibration of its probabilities. */
function baselines(run: RunRecord): HTMLElement[] {
  const { compared, calibrationError } = run;
  const rows = compared?.map(({ name, accuracy, interval, macroF1 }) => [
    name,
    withInterval(accuracy, interval),
    percent(macroF1),
  ]);
  const unknown = ["this run", "bag of words", "most frequent class"].map((name) => [name, twoLines(NONE, NONE), NONE]);
  return [
    scrollArea(
      "Baselines",
      table(
        "This run and baselines on the test set, with 95 % intervals",
        ["Classifier", "Accuracy", "Macro F1"],
        rows ?? unknown,
      ),
    ),
    ...notes(run),
    paragraph(
      `Expected calibration error on the test set: ${calibrationError === undefined ? NONE : percent(calibrationError)}`,
    ),
  ];
}

function measures({ labels, confusions }: RunRecord): HTMLElement {
  if (!confusions) return paragraph("Precision, recall and F1 of each class are listed here at the end.");
  if (labels.length > LISTED_CLASSES)
    return paragraph("classes.csv, among the run's files, has precision, recall and F1 of each class.");
  const rows = classMeasures(confusions, labels.length).map(({ rows, precision, recall, f1, intervals }, i) => [
    labels[i],
    count(rows),
    withInterval(precision, intervals.precision),
    withInterval(recall, intervals.recall),
    withInterval(f1, intervals.f1),
  ]);
  const header = ["Class", "Rows", "Precision", "Recall", "F1"];
  return h(
    "details",
    {},
    h("summary", {}, "Precision, recall and F1 of each class"),
    scrollArea("Classes", table("Classes of the test set, with 95 % intervals", header, rows)),
  );
}

function beforeAndAfter(run: RunRecord): HTMLElement {
  const { before, after, parts, partNames = [], evaluations, unequal, objective } = run;
  const metric = metricOf(run);
  // Until the run ends, only the validation set has been evaluated.
  const measured = before ?? { train: undefined, val: evaluations[0]?.val, test: undefined };
  const sets = [
    ["Training", "train"],
    ["Validation", "val"],
    ["Test", "test"],
  ] as const;
  const rows = [
    ...sets.map(([name, key]) => [name, measured[key], after?.[key]] as const),
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

function confusionTable({ labels, confusions }: RunRecord): HTMLElement {
  if (labels.length > LISTED_CLASSES) {
    if (!confusions)
      return h(
        "p",
        { class: "help" },
        `${labels.length} classes: the most frequent errors are listed here at the end.`,
      );
    const mistaken = mistakesOf(confusions).slice(0, LISTED_CLASSES);
    const rows = mistaken.map(({ truth, predicted, rows }) => [labels[truth]!, labels[predicted]!, count(rows)]);
    const title = `Test set: most frequent errors among ${labels.length} classes`;
    return scrollArea("Most frequent errors", table(title, ["True label", "Predicted", "Messages"], rows));
  }
  const of = cellsOf(confusions ?? []);
  const cell = (truth: number, predicted: number): HTMLElement => {
    if (!confusions) return twoLines(NONE, NONE);
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

function mistakes({ mistakes: wrong, confusions }: RunRecord): HTMLElement {
  if (!confusions) return paragraph("Misclassified messages are listed here at the end.");
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
