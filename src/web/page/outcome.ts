/** The result of a run. */
import { cellsOf, LISTED_CLASSES, mistakesOf } from "../../report/statistics.ts";
import type { RunRecord } from "../protocol.ts";
import { byId, h, scrollArea, table } from "./dom.ts";
import { count, loss, percent } from "./format.ts";

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
  body.replaceChildren(beforeAndAfter(run), confusionTable(run), mistakes(run));
}

function beforeAndAfter({ before, after, parts, evaluations, unequal }: RunRecord): HTMLElement {
  // Until the run ends, only the validation set has been evaluated.
  const measured = before ?? { train: undefined, val: evaluations[0]?.val, test: undefined };
  const sets = [
    ["Training", "train"],
    ["Validation", "val"],
    ["Test", "test"],
  ] as const;
  const rows = [
    ...sets.map(([name, key]) => [name, measured[key], after?.[key]] as const),
    ...(parts ?? []).map((part) => [`Test: ${part.name}`, undefined, part] as const),
  ];
  return scrollArea(
    "Before and after",
    table(
      "Before and after",
      [
        "Set",
        "Rows",
        "Loss before",
        "after",
        "Accuracy before",
        "after",
        ...(unequal ? ["Macro F1 before", "after"] : []),
      ],
      rows.map(([name, a, b]) => {
        return [
          name,
          (a ?? b) ? count((a ?? b)!.rows) : NONE,
          a ? loss(a.loss) : NONE,
          b ? loss(b.loss) : NONE,
          a ? percent(a.accuracy) : NONE,
          b ? percent(b.accuracy) : NONE,
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
    if (!confusions) return h("span", {}, NONE, h("small", {}, NONE));
    const n = of(truth, predicted);
    const sum = labels.reduce((total, _, other) => total + of(truth, other), 0);
    const kind = predicted === truth ? "right" : n > 0 ? "mistaken" : "";
    return h("span", { class: kind }, count(n), h("small", {}, sum > 0 ? percent(n / sum) : NONE));
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
  const note = (text: string) => h("p", { class: "note" }, text);
  if (!confusions) return note("Misclassified messages are listed here at the end.");
  const all = mistakesOf(confusions).reduce((sum, { rows }) => sum + rows, 0);
  if (all === 0) return note("No test message was misclassified.");
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
      "tall",
    ),
  );
}
