/** What a run has reached. */
import { byId, h, scrollArea, table } from "./dom.ts";
import { count, loss, percent } from "./format.ts";
import type { RunRecord } from "./protocol.ts";

/** A run's result: before and after, what is taken for what, and the messages that were labelled wrong. */
export function showOutcome(run: RunRecord): void {
  const { before, after, confusion } = run;
  byId("outcome").hidden = !before || !after || !confusion;
  const body = byId("outcome-body");
  const key = `${run.id} ${run.state} ${run.step}`;
  if (!before || !after || !confusion || body.getAttribute("data-of") === key) return;
  body.setAttribute("data-of", key);
  const sets = [
    ["Training", before.train, after.train],
    ["Validation", before.val, after.val],
    ["Test", before.test, after.test],
  ] as const;
  body.replaceChildren(
    scrollArea(
      "Before and after",
      table(
        "Before and after",
        ["Set", "Rows", "Loss before", "after", "Accuracy before", "after"],
        sets.map(([name, a, b]) => [
          name,
          count(b.rows),
          loss(a.loss),
          loss(b.loss),
          percent(a.accuracy),
          percent(b.accuracy),
        ]),
      ),
    ),
    confusionTable(run.labels, confusion),
    mistakes(run),
  );
}

function confusionTable(labels: readonly string[], confusion: number[][]): HTMLElement {
  const cells = confusion.map((row, truth) => {
    const sum = row.reduce((a, b) => a + b, 0);
    return [
      labels[truth]!,
      ...row.map((n, said) =>
        h(
          "span",
          { class: said === truth ? "right" : n > 0 ? "wrong-cell" : "zero" },
          `${count(n)}`,
          h("small", {}, sum > 0 ? percent(n / sum) : ""),
        ),
      ),
    ];
  });
  return scrollArea(
    "Confusion matrix",
    table(
      "Test messages: what they are, and what the model says",
      ["Truth", ...labels.map((label) => `said ${label}`)],
      cells,
    ),
    "confusion",
  );
}

function mistakes({ mistakes: wrong, confusion }: RunRecord): HTMLElement {
  const all = confusion!.flatMap((row, truth) => row.filter((_, said) => said !== truth)).reduce((a, b) => a + b, 0);
  if (all === 0) return h("p", {}, "No test message was labelled wrong.");
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
        wrong.map(({ text, truth, said, probability }) => [truth, said, percent(probability), text]),
      ),
      "tall",
    ),
  );
}
