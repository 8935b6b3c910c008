/** The list of the runs stored in this browser: select, compare, download, delete. */

import { hasAdapter, isUnderWay, type RunRecord, type RunState } from "../protocol.ts";
import { byId, h, scrollArea } from "./dom.ts";
import { percent, when } from "./format.ts";
import { metricOf } from "./metric.ts";

const STATES: Record<RunState, string> = {
  training: "training",
  paused: "paused",
  stopping: "stopping",
  interrupted: "interrupted",
  elsewhere: "in another tab",
  stopped: "stopped",
  finished: "finished",
  failed: "failed",
  loaded: "loaded",
};

const NO_RUNS = h("p", { class: "help" }, "Runs are stored in this browser until you delete them.");

const HEADER = ["Chart", "Run", "State", "Result", "Download", "Delete"];

export interface RunsActions {
  show(run: RunRecord): void;
  compare(run: RunRecord, on: boolean): void;
  download(run: RunRecord, what: "adapter" | "run"): void;
  forget(run: RunRecord): void;
}

export class RunsPanel {
  /** The table rows by run id, each with the values that it shows. */
  private rows = new Map<string, { drawn: string; row: HTMLElement }>();

  constructor(private readonly actions: RunsActions) {
    byId("runs-body").replaceChildren(NO_RUNS);
  }

  show(runs: readonly RunRecord[], shown: string | null, compared: ReadonlySet<string>): void {
    const place = byId("runs-body");
    const focus = document.activeElement?.getAttribute("data-focus");
    const before = this.rows;
    this.rows = new Map();
    for (const run of runs) {
      const { id, state, usable, after, evaluations } = run;
      const look = [id === shown, compared.has(id), state, usable, after?.test.loss, evaluations.length];
      const drawn = JSON.stringify(look);
      const old = before.get(id);
      // Replacing a row loses the focus and a click in progress, so only changed rows are replaced.
      const row = old?.drawn === drawn ? old.row : this.row(run, shown, compared);
      if (row !== old?.row) old?.row.replaceWith(row);
      this.rows.set(id, { drawn, row });
    }
    if (runs.length === 0) place.replaceChildren(NO_RUNS);
    else if (!isSame([...before.keys()], [...this.rows.keys()]))
      place.replaceChildren(tableOf([...this.rows.values()].map(({ row }) => row)));
    if (focus && document.activeElement?.getAttribute("data-focus") !== focus)
      place.querySelector<HTMLElement>(`[data-focus="${focus}"]`)?.focus();
  }

  private row(run: RunRecord, shown: string | null, compared: ReadonlySet<string>): HTMLElement {
    const { actions } = this;
    const { id, title, state } = run;
    const name = `${title}, ${when(run.created)}`;
    const best = run.after?.test ?? run.evaluations.at(-1)?.val;
    const mine = isUnderWay(run) || state === "elsewhere";
    const metric = metricOf(run);
    const isShown = id === shown;
    const box = h("input", {
      type: "checkbox",
      "aria-label": `Plot ${name}`,
      "data-focus": `draw-${id}`,
      checked: isShown || compared.has(id),
      disabled: isShown || run.evaluations.length === 0,
    });
    box.addEventListener("input", () => actions.compare(run, box.checked));
    const button = (label: string, words: string, take: () => void) =>
      h(
        "button",
        { type: "button", "aria-label": `${words}: ${name}`, "data-focus": `${words}-${id}`, onclick: take },
        label,
      );
    return h(
      "tr",
      isShown ? { "aria-current": "true" } : {},
      h("td", {}, box),
      h(
        "th",
        { scope: "row" },
        h(
          "button",
          { type: "button", class: "link", "data-focus": `show-${id}`, onclick: () => actions.show(run) },
          title,
        ),
        h("small", {}, aboutOf(run)),
      ),
      h("td", {}, STATES[state]),
      h(
        "td",
        {},
        best ? metric.show(metric.of(best)) : "–",
        best && run.objective === "lm" ? h("small", {}, "perplexity") : null,
        best && run.unequal ? h("small", {}, `macro F1 ${percent(best.macroF1!)}`) : null,
        best && !run.after ? h("small", {}, "validation") : null,
      ),
      h(
        "td",
        {},
        hasAdapter(run)
          ? h(
              "span",
              { class: "row" },
              button("Adapter", "Download the adapter", () => actions.download(run, "adapter")),
              state === "loaded" || state === "failed"
                ? null
                : button("Files", "Download all files", () => actions.download(run, "run")),
            )
          : null,
      ),
      h("td", {}, mine ? null : button("Delete", "Delete", () => actions.forget(run))),
    );
  }
}

/** The data, model and settings of a run that its title does not name. */
function aboutOf({ dataName, settings, created }: RunRecord): string {
  const { epochs, lr } = settings.options;
  const from = settings.adapter ? [`from ${settings.adapter.title}`] : [];
  const speed = epochs === undefined ? [] : [`${epochs} ${epochs === 1 ? "epoch" : "epochs"}`, `lr ${lr}`];
  return [dataName, settings.model, ...from, ...speed, when(created)].join(", ");
}

function tableOf(rows: readonly HTMLElement[]): HTMLElement {
  const header = HEADER.map((name) => h("th", { scope: "col" }, name));
  return scrollArea(
    "All runs",
    h(
      "table",
      { class: "runs" },
      h("caption", { class: "hidden" }, "All runs, newest first"),
      h("thead", {}, h("tr", {}, header)),
      h("tbody", {}, rows),
    ),
  );
}

function isSame(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((id, i) => id === b[i]);
}
