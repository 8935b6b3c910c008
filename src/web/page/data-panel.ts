/** The choice of the messages, bundled, from a file or from the Hugging Face Hub, and their statistics. */

import type { ColumnReport, DataChoice, DataReport } from "../protocol.ts";
import { reportOf, type WorkerClient } from "./client.ts";
import { bar, byId, h, scrollArea, setText, svg, table } from "./dom.ts";
import { count, percent } from "./format.ts";
import { sentence, showError } from "./notice.ts";

/** The selected source: "file", "hub", or the name of a bundled data set. */
const source = () => document.querySelector<HTMLInputElement>("input[name=source]:checked")!.value;

export class DataPanel {
  /** The selected data; null while no file is selected or its columns are unknown. */
  choice: DataChoice | null = { kind: "named", name: source() };
  private file: { name: string; columns: ColumnReport } | null = null;
  private readonly own = byId("own");
  private readonly error = byId("data-error");
  private readonly report = byId("data-report");
  private readonly text = byId<HTMLSelectElement>("text-column");
  private readonly label = byId<HTMLSelectElement>("label-column");
  private readonly encoding = byId<HTMLSelectElement>("encoding");
  private picked: File | undefined;
  /** The name of the hub's data set that was asked for last. */
  private hubName = "";

  constructor(
    private readonly client: WorkerClient,
    private readonly changed: () => void,
  ) {
    for (const radio of document.querySelectorAll<HTMLInputElement>("input[name=source]"))
      radio.addEventListener("input", () => this.choose());
    const input = byId<HTMLInputElement>("file");
    input.addEventListener("change", () => this.pick(input.files?.[0]));
    this.acceptDrops(input);
    this.encoding.addEventListener("input", () => this.take(this.picked));
    for (const select of [this.text, this.label]) select.addEventListener("input", () => this.choose());
    const name = byId<HTMLInputElement>("dataset-name");
    const open = () => {
      this.hubName = name.value.trim();
      this.choose();
    };
    byId("dataset-open").addEventListener("click", open);
    name.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      event.preventDefault();
      open();
    });
  }

  /** Shows the statistics and clears the error. */
  show(report: DataReport): void {
    this.report.classList.remove("loading");
    showError(this.error, null);
    this.report.replaceChildren(...describe(report));
  }

  fail(error: unknown): void {
    this.report.classList.remove("loading");
    showError(this.error, reportOf(error));
    this.report.replaceChildren();
  }

  /** A file can be dropped anywhere on the page. */
  private acceptDrops(input: HTMLInputElement): void {
    const drop = byId("drop");
    const over = (event: DragEvent, inside: boolean) => {
      if (!event.dataTransfer?.types.includes("Files")) return;
      event.preventDefault();
      drop.classList.toggle("over", inside);
    };
    document.addEventListener("dragover", (event) => over(event, true));
    document.addEventListener("dragleave", (event) => over(event, false));
    document.addEventListener("drop", (event) => {
      over(event, false);
      const files = event.dataTransfer?.files;
      if (!files?.[0]) return;
      document.querySelector<HTMLInputElement>("input[name=source][value=file]")!.checked = true;
      input.files = files;
      this.pick(files[0]);
    });
  }

  /** A new file is read as UTF-8 first, whatever the last one was. */
  private pick(file: File | undefined): void {
    this.encoding.selectedIndex = 0;
    void this.take(file);
  }

  private async take(file: File | undefined): Promise<void> {
    if (!file) return;
    this.picked = file;
    this.file = null;
    byId("columns").hidden = true;
    this.report.replaceChildren();
    try {
      this.file = { name: file.name, columns: await this.client.pickData(file, this.encoding.value) };
      showError(this.error, null);
      this.fill(this.file.columns);
    } catch (error) {
      this.fail(error);
    }
    this.choose();
  }

  private fill({ columns, text, label }: ColumnReport): void {
    byId("columns").hidden = columns.length === 0;
    for (const [select, chosen] of [
      [this.text, text],
      [this.label, label],
    ] as const) {
      const blank = chosen === null ? [h("option", { value: "" }, "choose")] : [];
      select.replaceChildren(
        ...blank,
        ...columns.map((name) => h("option", { value: name, selected: name === chosen }, name)),
      );
    }
  }

  private choose(): void {
    const name = source();
    const isFile = name === "file";
    const isHub = name === "hub";
    this.own.hidden = !isFile;
    byId("hub-data").hidden = !isHub;
    const named = isHub ? this.hubName : name;
    this.choice = isFile ? this.fileChoice() : named === "" ? null : { kind: "named", name: named };
    if (this.choice === null) this.report.replaceChildren();
    if (!isFile) showError(this.error, null);
    this.changed();
  }

  private fileChoice(): DataChoice | null {
    if (!this.file) return null;
    const { name, columns } = this.file;
    const encoding = this.encoding.value;
    if (columns.columns.length === 0) return { kind: "file", name, encoding };
    const [textColumn, labelColumn] = [this.text.value, this.label.value];
    if (textColumn === "" || labelColumn === "") {
      showError(this.error, {
        name: "DataError",
        summary: "The text and label columns were not recognised",
        found: columns.columns.join(", "),
        hint: "choose both columns above",
      });
      return null;
    }
    return { kind: "file", name, encoding, textColumn, labelColumn };
  }
}

function describe(report: DataReport): HTMLElement[] {
  const { rowsRead, stats, classes, lengths, preview, notes } = report;
  const sets = [stats.train, stats.val, stats.test];
  const rows = sets.reduce((sum, set) => sum + set.rows, 0);
  return [
    h(
      "p",
      { class: "lead" },
      `${count(rowsRead)} messages, ${count(rows)} used: `,
      `${count(stats.train.rows)} training, ${count(stats.val.rows)} validation, ${count(stats.test.rows)} test.`,
    ),
    balance(classes, rowsRead),
    histogram(lengths, stats.train.median, Math.max(...sets.map(({ max }) => max))),
    ...(notes.length > 0
      ? [
          h(
            "ul",
            { class: "notes" },
            notes.map((note) => h("li", {}, sentence(note))),
          ),
        ]
      : []),
    ...problemsOf(report),
    h(
      "details",
      {},
      h("summary", {}, "First messages"),
      scrollArea(
        "First messages",
        table(
          "The first messages of the training set",
          ["Label", "Message"],
          preview.map(({ text, label }) => [label, text]),
        ),
        "messages",
      ),
    ),
  ];
}

/** Skipped rows that are shown at once. */
const PROBLEMS = 3;

function problemsOf({ problems, problemCount }: DataReport): HTMLElement[] {
  if (problemCount === 0) return [];
  const rows = problemCount === 1 ? "1 invalid row was" : `${count(problemCount)} invalid rows were`;
  const list = (some: typeof problems) =>
    h(
      "ul",
      { class: "notes" },
      some.map(({ line, text }) => h("li", {}, `Line ${line}: ${text}`)),
    );
  const hints = [...new Set(problems.flatMap(({ hint = [] }) => hint))];
  const all = problems.length < problemCount ? `First ${problems.length}` : `All ${problems.length}`;
  return [
    h(
      "div",
      { class: "error mild" },
      h("p", { class: "summary" }, `${rows} skipped`),
      list(problems.slice(0, PROBLEMS)),
      hints.map((hint) => h("p", {}, sentence(hint))),
      problems.length > PROBLEMS
        ? h("details", {}, h("summary", {}, all), scrollArea("Skipped rows", list(problems), "tall"))
        : null,
    ),
  ];
}

/** Maximum number of classes shown: a wrong label column can have thousands. */
const CLASSES = 8;

function balance(classes: Record<string, number>, rows: number): HTMLElement {
  const entries = Object.entries(classes);
  const largest = entries.reduce((most, [, n]) => Math.max(most, n), 0);
  return h(
    "div",
    { class: "bars" },
    entries
      .slice(0, CLASSES)
      .map(([name, n]) =>
        h(
          "div",
          {},
          h("span", { class: "name" }, name),
          bar(n / largest),
          h("span", { class: "n" }, `${count(n)} (${percent(n / rows, 0)})`),
        ),
      ),
    entries.length > CLASSES ? h("p", { class: "help" }, `and ${entries.length - CLASSES} more classes`) : null,
  );
}

function histogram(bins: DataReport["lengths"], median: number, longest: number): HTMLElement {
  const top = Math.max(...bins.map(({ rows }) => rows));
  const width = 100 / bins.length;
  const picture = svg(
    "svg",
    { viewBox: "0 0 100 30", preserveAspectRatio: "none", "aria-hidden": "true", class: "histogram" },
    ...bins.map(({ rows }, i) => {
      const height = (rows / top) * 29;
      return svg("rect", { x: i * width, y: 30 - height, width: width * 0.85, height });
    }),
  );
  const caption = h("figcaption", {});
  setText(caption, `Length in tokens: median ${median}, maximum ${longest}.`);
  return h("figure", { class: "lengths" }, picture as unknown as HTMLElement, caption);
}
