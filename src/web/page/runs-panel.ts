/** The list of the runs stored in this browser: select, plot, download, pin, rename, delete. */

import { dataName, describeMethod, fileName } from "../../run/record.ts";
import { hasAdapter, hasFiles, isUnderWay, type PageRun, type RunState } from "../protocol.ts";
import { byId, h, scrollArea } from "./dom.ts";
import { percent, runName, when } from "./format.ts";
import { runMetric } from "./metric.ts";

export const STATES: Record<RunState, string> = {
  waiting: "waiting",
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

const HEADER = ["Chart", "Run", "State", "Result", "Download", "Change"];

export interface RunsActions {
  show(run: PageRun): void;
  compare(run: PageRun, on: boolean): void;
  download(run: PageRun, what: "adapter" | "run"): void;
  change(run: PageRun, change: Pick<PageRun, "name" | "pinned">): void;
  forget(run: PageRun): void;
}

export class RunsPanel {
  /** The table rows by run id, each with the values that it shows. */
  private rows = new Map<string, { drawn: string; row: HTMLElement }>();

  constructor(private readonly actions: RunsActions) {
    byId("runs-body").replaceChildren(NO_RUNS);
  }

  show(runs: readonly PageRun[], shown: string | null, compared: ReadonlySet<string>): void {
    const place = byId("runs-body");
    const focus = document.activeElement?.getAttribute("data-focus");
    const before = this.rows;
    this.rows = new Map();
    let group: string | undefined;
    for (const run of listed(runs)) {
      const { id, comparison } = run;
      if (comparison !== group && comparison !== undefined && !run.pinned)
        this.add(before, `comparison ${comparison}`, "", () => groupRow(run));
      if (!run.pinned) group = comparison;
      const { name, pinned, state, usable, record } = run;
      const measured = [record.results?.after.test, record.evaluations.length];
      const look = [id === shown, compared.has(id), name, pinned, state, usable, ...measured];
      this.add(before, id, JSON.stringify(look), () => this.row(run, shown, compared));
    }
    if (runs.length === 0) place.replaceChildren(NO_RUNS);
    else if (!isSame([...before.keys()], [...this.rows.keys()]))
      place.replaceChildren(runsTable([...this.rows.values()].map(({ row }) => row)));
    if (focus && document.activeElement?.getAttribute("data-focus") !== focus)
      place.querySelector<HTMLElement>(`[data-focus="${focus}"]`)?.focus();
  }

  /** Replacing a row would lose focus, a click in progress and a half-typed name: only changed rows are replaced. */
  private add(before: RunsPanel["rows"], key: string, drawn: string, make: () => HTMLElement): void {
    const old = before.get(key);
    const isCurrent = old && (old.drawn === drawn || old.row.querySelector("input[type=text]"));
    const row = isCurrent ? old.row : make();
    if (row !== old?.row) old?.row.replaceWith(row);
    this.rows.set(key, { drawn: isCurrent ? old.drawn : drawn, row });
  }

  private row(run: PageRun, shown: string | null, compared: ReadonlySet<string>): HTMLElement {
    const { actions } = this;
    const { id, state, record } = run;
    const { results, evaluations, unequal, objective } = record;
    const name = `${runName(run)}, ${when(record.created)}`;
    const best = results?.after.test ?? evaluations.at(-1)?.val;
    const mine = isUnderWay(run) || state === "elsewhere";
    const metric = runMetric(record);
    const isShown = id === shown;
    const box = h("input", {
      type: "checkbox",
      "aria-label": `Plot ${name}`,
      "data-focus": `draw-${id}`,
      checked: isShown || compared.has(id),
      disabled: isShown || evaluations.length === 0,
    });
    box.addEventListener("input", () => actions.compare(run, box.checked));
    const button = (label: string, words: string, take: () => void, more = {}) =>
      h(
        "button",
        { type: "button", "aria-label": `${words}: ${name}`, "data-focus": `${words}-${id}`, onclick: take, ...more },
        label,
      );
    const title = h(
      "th",
      { scope: "row" },
      h(
        "button",
        { type: "button", class: "link", "data-focus": `show-${id}`, onclick: () => actions.show(run) },
        runName(run),
      ),
      h("small", {}, describeRun(run)),
    );
    const rename = () => title.replaceChildren(this.nameField(run, title, [...title.childNodes]));
    return h(
      "tr",
      isShown ? { "aria-current": "true" } : {},
      h("td", {}, box),
      title,
      h("td", {}, STATES[state]),
      h(
        "td",
        {},
        best ? metric.show(metric.of(best)) : null,
        best && objective === "lm" ? h("small", {}, "perplexity") : null,
        best && unequal ? h("small", {}, `macro F1 ${percent(best.macroF1!)}`) : null,
        best && !results ? h("small", {}, "validation") : null,
      ),
      h(
        "td",
        {},
        h(
          "span",
          { class: "row" },
          hasAdapter(run) ? button("Adapter", "Download the adapter", () => actions.download(run, "adapter")) : null,
          hasFiles(run) ? button("Files", "Download all files", () => actions.download(run, "run")) : null,
        ),
      ),
      h(
        "td",
        {},
        h(
          "span",
          { class: "row" },
          button("Pin", "Pin to the top", () => actions.change(run, { pinned: !run.pinned }), {
            "aria-pressed": String(run.pinned === true),
          }),
          button("Rename", "Rename", () => {
            rename();
            title.querySelector("input")!.select();
          }),
          mine ? null : button("Delete", "Delete", () => actions.forget(run)),
        ),
      ),
    );
  }

  /** A field for a run's name in place of `content`. Enter and blur save it, Escape does not; empty: the method. */
  private nameField(run: PageRun, title: HTMLElement, content: readonly ChildNode[]): HTMLElement {
    const input = h("input", { type: "text", value: runName(run), "aria-label": `Name of ${runName(run)}` });
    let isOpen = true;
    const close = (isTaken: boolean, isFocused: boolean) => {
      if (!isOpen) return;
      isOpen = false;
      const name = input.value.trim();
      title.replaceChildren(...content);
      if (isFocused) title.querySelector("button")!.focus();
      if (isTaken && name !== runName(run))
        this.actions.change(run, { name: name === describeMethod(run.record.options) ? "" : name });
    };
    input.addEventListener("blur", () => close(true, false));
    input.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== "Escape") return;
      // Enter would also press the button that gets the focus.
      event.preventDefault();
      close(event.key === "Enter", true);
    });
    return input;
  }
}

/** The list's order: pinned ones, then by time; the runs of a comparison stay together in the order of methods. */
function listed(runs: readonly PageRun[]): PageRun[] {
  const newest = new Map<string, number>();
  const key = ({ id, comparison }: PageRun) => comparison ?? id;
  for (const run of runs) newest.set(key(run), Math.max(run.record.created, newest.get(key(run)) ?? 0));
  return [...runs].sort(
    (a, b) =>
      Number(b.pinned === true) - Number(a.pinned === true) ||
      newest.get(key(b))! - newest.get(key(a))! ||
      (key(a) === key(b) ? a.record.created - b.record.created : key(a) < key(b) ? -1 : 1),
  );
}

function groupRow({ record, model }: PageRun): HTMLElement {
  const text = `Comparison of methods: ${dataName(record)}, ${model}, ${when(record.created)}`;
  return h("tr", { class: "group" }, h("th", { scope: "rowgroup", colspan: HEADER.length }, text));
}

/** The data, model and settings of a run that its title does not name. */
function describeRun({ name, model, state, record }: PageRun): string {
  const { options, settings, created } = record;
  const { epochs, lr } = options;
  const from = settings.adapter === undefined ? [] : [`from ${fileName(settings.adapter)}`];
  const speed = state === "loaded" ? [] : [`${epochs} ${epochs === 1 ? "epoch" : "epochs"}`, `lr ${lr}`];
  const title = name ? [describeMethod(options)] : [];
  return [...title, dataName(record), model, ...from, ...speed, when(created)].join(", ");
}

function runsTable(rows: readonly HTMLElement[]): HTMLElement {
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
