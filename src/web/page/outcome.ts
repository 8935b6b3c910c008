/** What a run has reached. */
import { cellsOf, LISTED_CLASSES, mistakesOf } from "../../report/statistics.ts";
import type { RunRecord } from "../protocol.ts";
import { byId, h, scrollArea, table } from "./dom.ts";
import { count, loss, percent } from "./format.ts";

const NONE = "–";

/**
 * A run's result: before and after, what is taken for what, and the messages that were labelled wrong. Its place is laid out
 * when the run begins, so that nothing moves when it ends.
 */
export function showOutcome(run: RunRecord): void {
  byId("outcome").hidden = run.state === "loaded" || (run.error !== null && run.after === null);
  const body = byId("outcome-body");
  const key = [run.id, run.evaluations.length > 0, run.after !== null].join(" ");
  if (body.getAttribute("data-of") === key) return;
  body.setAttribute("data-of", key);
  body.replaceChildren(beforeAndAfter(run), confusionTable(run), mistakes(run));
}

function beforeAndAfter({ before, after, evaluations }: RunRecord): HTMLElement {
  // The other sets are measured at the end.
  const measured = before ?? { train: undefined, val: evaluations[0]?.val, test: undefined };
  const sets = [
    ["Training", "train"],
    ["Validation", "val"],
    ["Test", "test"],
  ] as const;
  return scrollArea(
    "Before and after",
    table(
      "Before and after",
      ["Set", "Rows", "Loss before", "after", "Accuracy before", "after"],
      sets.map(([name, key]) => {
        const [a, b] = [measured[key], after?.[key]];
        return [
          name,
          a ? count(a.rows) : NONE,
          a ? loss(a.loss) : NONE,
          b ? loss(b.loss) : NONE,
          a ? percent(a.accuracy) : NONE,
          b ? percent(b.accuracy) : NONE,
        ];
      }),
    ),
  );
}

function confusionTable({ labels, confusions }: RunRecord): HTMLElement {
  const caption = "Test messages: what they are, and what the model says";
  if (labels.length > LISTED_CLASSES) {
    if (!confusions)
      return h("p", { class: "help" }, `${labels.length} classes: the most frequent mistakes stand here at the end.`);
    const mistaken = mistakesOf(confusions).slice(0, LISTED_CLASSES);
    const rows = mistaken.map(({ truth, predicted, rows }) => [labels[truth]!, labels[predicted]!, count(rows)]);
    const title = `${caption}: the most frequent mistakes among ${labels.length} classes`;
    return scrollArea("Most frequent mistakes", table(title, ["Truth", "predicted", "Messages"], rows));
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
      caption,
      ["Truth", ...labels.map((label) => `predicted ${label}`)],
      labels.map((label, truth) => [label, ...labels.map((_, predicted) => cell(truth, predicted))]),
    ),
    "confusion",
  );
}

function mistakes({ mistakes: wrong, confusions }: RunRecord): HTMLElement {
  const note = (text: string) => h("p", { class: "note" }, text);
  if (!confusions) return note("Messages that are labelled wrong are listed here at the end.");
  const all = mistakesOf(confusions).reduce((sum, { rows }) => sum + rows, 0);
  if (all === 0) return note("No test message was labelled wrong.");
  const shown = wrong.length < all ? `, the ${wrong.length} surest` : "";
  return h(
    "details",
    {},
    h("summary", {}, `Labelled wrong: ${count(all)} test messages${shown}`),
    scrollArea(
      "Messages labelled wrong",
      table(
        "Messages labelled wrong, the surest first",
        ["Truth", "Said", "Probability", "Message"],
        wrong.map(({ text, truth, predicted, probability }) => [truth, predicted, percent(probability), text]),
      ),
      "tall",
    ),
  );
}
