/** The choice of the messages, bundled, typed, from a file or from the Hugging Face Hub, and their statistics. */

import type { Objective } from "../../config.ts";
import type { ColumnReport, DataChoice, DataReport, TextsReport } from "../protocol.ts";
import { reportOf, type WorkerClient } from "./client.ts";
import { bar, byId, h, onName, scrollArea, setText, svg, table } from "./dom.ts";
import { ExamplesPanel } from "./examples-panel.ts";
import { count, percent } from "./format.ts";
import { readings, sentence, showError } from "./notice.ts";
import { keepFiles, keptFiles, type Saved } from "./saved.ts";
import { describeTexts, TextsPanel } from "./texts-panel.ts";

/** The radio button of a source: "examples", "file", "hub", or the name of a bundled data set. */
const radio = (which: string) => document.querySelector<HTMLInputElement>(`input[name=source]${which}`);
const source = () => radio(":checked")!.value;

/** The radio button of what GPT-2 learns. */
const objective = (which: string) => document.querySelector<HTMLInputElement>(`input[name=objective]${which}`)!;

export class DataPanel {
  /** The selected messages; null while no file is selected or its columns are unknown. */
  private messages: DataChoice | null = { kind: "named", name: source() };
  private readonly texts: TextsPanel;
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
  private readonly examples = new ExamplesPanel((file) => void this.takeExamples(file));
  /** The columns that a restored file had. */
  private restored: Saved = {};

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

  /** The selected data; null while there is none. */
  get choice(): DataChoice | null {
    return this.objective === "lm" ? this.texts.choice : this.messages;
  }

  /** Whether the data are typed examples. */
  private get isExamples(): boolean {
    return source() === "examples";
  }

  /** The choice as `restore` takes it; a link has no files. */
  get saved(): Saved {
    if (this.objective === "lm") return { objective: "lm", ...this.texts.saved };
    const saved: Saved = { data: source() };
    if (saved.data === "hub") saved.dataset = this.hubName;
    if (saved.data === "file" && this.picked)
      Object.assign(saved, {
        encoding: this.encoding.value,
        textColumn: this.text.value,
        labelColumn: this.label.value,
      });
    return saved;
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

  /** Makes a saved choice again. A data set that only a link names is not downloaded before the visitor asks for it. */
  async restore(saved: Saved, isLink: boolean): Promise<void> {
    if (this.objective === "lm") return this.texts.restore(saved, isLink);
    const chosen = radio(`[value="${CSS.escape(saved.data ?? "")}"]`);
    if (!chosen) return;
    chosen.checked = true;
    if (saved.data === "hub") {
      byId<HTMLInputElement>("dataset-name").value = saved.dataset ?? "";
      if (!isLink) this.hubName = saved.dataset ?? "";
    }
    const [file] = saved.data === "file" && !isLink ? await keptFiles("data") : [];
    if (saved.data === "examples") await this.takeExamples(this.examples.file);
    else if (file) {
      this.restored = saved;
      this.encoding.value = saved.encoding ?? "utf-8";
      await this.take(file);
    } else this.choose();
  }

  /** Shows the statistics and clears the error. */
  show(report: DataReport | TextsReport): void {
    showError(this.error, null);
    this.report.replaceChildren(...("documents" in report ? describeTexts(report) : describe(report)));
  }

  fail(error: unknown): void {
    const report = reportOf(error);
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
    // Until the file is read, no run can start: it would be on the file before.
    this.choose();
    try {
      this.file = { name: file.name, columns: await this.client.pickData(file, encoding) };
      showError(this.error, null);
      this.fill(this.file.columns);
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
    const named = isHub ? this.hubName : name;
    const hasFile = isFile || this.isExamples;
    this.messages = hasFile ? this.fileChoice() : named === "" ? null : { kind: "named", name: named };
    if (this.choice === null) this.report.replaceChildren();
    if (!hasFile || this.objective === "lm") showError(this.error, null);
    this.changed();
  }

  private fileChoice(): DataChoice | null {
    if (!this.file) return null;
    const { name, columns } = this.file;
    if (this.isExamples) return { kind: "file", name };
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
    ...problemsOf(report),
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
