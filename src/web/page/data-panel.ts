/** The choice of the messages, bundled, typed, from a file or from the Hugging Face Hub, and their statistics. */

import type { Objective } from "../../config.ts";
import type { RunSettings } from "../../run/settings.ts";
import type { ColumnReport, DataReport, TextsReport } from "../protocol.ts";
import { failureReport, type WorkerClient } from "./client.ts";
import { bar, byId, h, onName, scrollArea, setText, svg, table } from "./dom.ts";
import { ExamplesPanel } from "./examples-panel.ts";
import { count, percent } from "./format.ts";
import { readings, sentence, showError } from "./notice.ts";
import { EXAMPLES_FILE, keepFiles, keptFiles } from "./saved.ts";
import { describeTexts, TextsPanel } from "./texts-panel.ts";

/** The radio button of a source: "examples", "file", "hub", or the name of a bundled data set. */
const radio = (which: string) => document.querySelector<HTMLInputElement>(`input[name=source]${which}`);
const source = () => radio(":checked")!.value;

/** The radio button of what GPT-2 learns. */
const objective = (which: string) => document.querySelector<HTMLInputElement>(`input[name=objective]${which}`)!;

export class DataPanel {
  /** Whether messages are selected: a data set, or a file whose columns are known. */
  private hasMessages = true;
  private readonly texts: TextsPanel;
  /** The columns of the file that the worker has; null: it has none yet. */
  private file: ColumnReport | null = null;
  private readonly own = byId("own");
  private readonly error = byId("data-error");
  private readonly report = byId("data-report");
  private readonly text = byId<HTMLSelectElement>("text-column");
  private readonly label = byId<HTMLSelectElement>("label-column");
  private readonly encoding = byId<HTMLSelectElement>("encoding");
  private picked: File | undefined;
  /** The name of the hub's data set that was requested last. */
  private hubName = "";
  private readonly examples = new ExamplesPanel((file) => void this.takeExamples(file));
  /** The columns that a restored file had. */
  private restored: RunSettings = {};

  constructor(
    private readonly client: WorkerClient,
    private readonly changed: () => void,
    /** Called before `changed` when messages are to be sorted after texts, or the other way round. */
    private readonly objectiveChanged: (objective: Objective) => void,
  ) {
    this.texts = new TextsPanel(client, () => this.choose());
    for (const one of document.querySelectorAll("input[name=objective]"))
      one.addEventListener("input", () => {
        this.showObjective();
        this.choose();
      });
    for (const one of document.querySelectorAll("input[name=source]"))
      one.addEventListener("input", () => {
        // The examples and the selected file share a place.
        this.file = null;
        if (this.isExamples) void this.takeExamples(this.examples.file);
        else if (source() === "file" && this.picked) void this.take(this.picked);
        else this.choose();
      });
    const input = byId<HTMLInputElement>("file");
    input.addEventListener("change", () => this.pick(input.files?.[0]));
    this.acceptDrops(input);
    this.encoding.addEventListener("input", () => this.take(this.picked));
    for (const select of [this.text, this.label]) select.addEventListener("input", () => this.choose());
    onName("dataset-name", "dataset-open", (name) => {
      this.hubName = name;
      this.choose();
    });
  }

  get objective(): Objective {
    return objective(":checked").value as Objective;
  }

  /** Whether data is selected. */
  get isReady(): boolean {
    return this.objective === "lm" ? this.texts.isReady : this.hasMessages;
  }

  /** Whether the data are typed examples. */
  private get isExamples(): boolean {
    return source() === "examples";
  }

  /** What is selected; `data` and `dataset` are empty where that is still open. */
  get settings(): RunSettings {
    if (this.objective === "lm") return { objective: "lm", ...this.texts.settings };
    const name = source();
    if (name === "examples") return { data: EXAMPLES_FILE };
    if (name !== "file") return { dataset: name === "hub" ? this.hubName : name };
    const [textColumn, labelColumn] = [this.text.value, this.label.value];
    return {
      ...{ data: this.picked?.name ?? "", encoding: this.encoding.value },
      ...(textColumn === "" ? {} : { textColumn }),
      ...(labelColumn === "" ? {} : { labelColumn }),
    };
  }

  /** Chooses what GPT-2 learns, before the settings are filled in: their defaults depend on it. */
  restoreObjective(saved: string | undefined): void {
    if (saved === "lm") objective("[value=lm]").checked = true;
    this.showObjective();
  }

  private showObjective(): void {
    byId("messages").hidden = this.objective === "lm";
    byId("texts").hidden = this.objective !== "lm";
    this.report.replaceChildren();
    this.objectiveChanged(this.objective);
  }

  /** Selects what `settings` say. A data set that only a link names is downloaded when the visitor asks for it. */
  async restore(settings: RunSettings, isLink: boolean): Promise<void> {
    if (this.objective === "lm") return this.texts.restore(settings, isLink);
    const { data, dataset, encoding = "utf-8" } = settings;
    if (data === undefined && dataset === undefined) return;
    const own = data === EXAMPLES_FILE ? "examples" : "file";
    const chosen = radio(`[value="${CSS.escape(dataset ?? own)}"]`) ?? radio("[value=hub]")!;
    chosen.checked = true;
    if (source() === "hub") {
      byId<HTMLInputElement>("dataset-name").value = dataset!;
      if (!isLink) this.hubName = dataset!;
    }
    const [file] = source() === "file" && !isLink ? await keptFiles("data") : [];
    if (this.isExamples) await this.takeExamples(this.examples.file);
    else if (file) {
      this.restored = settings;
      this.encoding.value = encoding;
      await this.take(file);
    } else this.choose();
  }

  /** Shows the statistics and clears the error. */
  show(report: DataReport | TextsReport): void {
    showError(this.error, null);
    this.report.replaceChildren(...("documents" in report ? describeTexts(report) : describe(report)));
  }

  fail(error: unknown): void {
    const report = failureReport(error);
    showError(this.error, report, readings(report, this.objective === "lm" ? this.texts.encoding : this.encoding));
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
      if (this.objective === "lm") {
        this.texts.take([...files]);
        return;
      }
      radio("[value=file]")!.checked = true;
      input.files = files;
      this.pick(files[0]);
    });
  }

  /** A new file is read as UTF-8 first, whatever the last one was. */
  private pick(file: File | undefined): void {
    if (!file) return;
    this.encoding.selectedIndex = 0;
    this.restored = {};
    void keepFiles("data", [file]);
    void this.take(file);
  }

  private async take(file: File | undefined): Promise<void> {
    if (!file) return;
    this.picked = file;
    setText(byId("file-name"), `Selected: ${file.name}`);
    await this.read(file, this.encoding.value);
  }

  private async takeExamples(file: File | null): Promise<void> {
    if (file) await this.read(file, "utf-8");
    else {
      this.file = null;
      this.choose();
    }
  }

  private async read(file: File, encoding: string): Promise<void> {
    this.file = null;
    byId("columns").hidden = true;
    // Until the file is read, no run can start: it would use the previous file.
    this.choose();
    try {
      this.file = await this.client.pickData(file, encoding);
      showError(this.error, null);
      this.fill(this.file);
    } catch (error) {
      this.fail(error);
    }
    this.choose();
  }

  private fill({ columns, text, label }: ColumnReport): void {
    byId("columns").hidden = columns.length === 0;
    for (const [select, found, before] of [
      [this.text, text, this.restored.textColumn],
      [this.label, label, this.restored.labelColumn],
    ] as const) {
      const chosen = before !== undefined && columns.includes(before) ? before : found;
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
    byId("examples").hidden = !this.isExamples;
    const hasFile = isFile || this.isExamples;
    this.hasMessages = hasFile ? this.hasColumns() : !isHub || this.hubName !== "";
    if (!this.isReady) this.report.replaceChildren();
    if (!hasFile || this.objective === "lm") showError(this.error, null);
    this.changed();
  }

  /** Whether there is a file, and it is known which of its columns are text and label. */
  private hasColumns(): boolean {
    if (!this.file) return false;
    const { columns } = this.file;
    if (this.isExamples || columns.length === 0 || (this.text.value !== "" && this.label.value !== "")) return true;
    showError(this.error, {
      name: "DataError",
      summary: "The text and label columns were not recognised",
      found: columns.join(", "),
      hint: "choose both columns above",
    });
    return false;
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
      `${count(rowsRead)} messages${rows < rowsRead ? `, ${count(rows)} used` : ""}: ${count(stats.train.rows)} to train, `,
      `${count(stats.val.rows)} to validate, ${count(stats.test.rows)} to test.`,
    ),
    balance(classes, rowsRead),
    ...(notes.length > 0
      ? [
          h(
            "ul",
            { class: "notes" },
            notes.map((note) => h("li", {}, sentence(note))),
          ),
        ]
      : []),
    ...problemList(report),
    h(
      "details",
      {},
      h("summary", {}, "Look at the messages"),
      histogram(lengths, stats.train.median, Math.max(...sets.map(({ max }) => max))),
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

function problemList({ problems, problemCount }: DataReport): HTMLElement[] {
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
