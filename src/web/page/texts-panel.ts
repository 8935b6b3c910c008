/** The choice of the texts that GPT-2 learns from: bundled, pasted, from files or from the Hugging Face Hub. */
import type { RunSettings } from "../../run/settings.ts";
import type { TextsReport } from "../protocol.ts";
import type { WorkerClient } from "./client.ts";
import { byId, h, onName, setText } from "./dom.ts";
import { count } from "./format.ts";
import { sentence } from "./notice.ts";
import { keepFiles, keptFiles, PASTED_FILE } from "./saved.ts";

/** The radio button of a source: "human-rights", "paste", "files" or "hub". */
const radio = (which: string) => document.querySelector<HTMLInputElement>(`input[name=texts]${which}`);
const source = () => radio(":checked")!.value;

/** The part of the form for each source. */
const PARTS = { "human-rights": "text-about", paste: "paste", files: "text-own", hub: "texts-hub" };

/** Milliseconds without input before a pasted text is read. */
const PAUSE = 500;

export class TextsPanel {
  /** Whether texts are selected. */
  isReady = true;
  private files: readonly File[] = [];
  /** The name of the hub's data set that was requested last. */
  private hubName = "";
  private readonly pasted = byId<HTMLTextAreaElement>("pasted");
  readonly encoding = byId<HTMLSelectElement>("encoding").cloneNode(true) as HTMLSelectElement;
  private timer = 0;

  constructor(
    private readonly client: WorkerClient,
    private readonly changed: () => void,
  ) {
    for (const one of document.querySelectorAll("input[name=texts]"))
      one.addEventListener("input", () => this.choose());
    const input = byId<HTMLInputElement>("text-files");
    input.addEventListener("change", () => this.take([...(input.files ?? [])]));
    this.encoding.id = "text-encoding";
    byId("text-encoding-label").after(this.encoding);
    this.encoding.addEventListener("input", () => this.choose());
    this.pasted.addEventListener("input", () => {
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.choose(), PAUSE);
    });
    onName("texts-name", "texts-open", (name) => {
      this.hubName = name;
      this.choose();
    });
  }

  /** What is selected; `data` and `dataset` are empty where that is still open. */
  get settings(): RunSettings {
    const name = source();
    if (name === "paste") return { data: PASTED_FILE };
    if (name === "files") return { data: this.files.map((file) => file.name), encoding: this.encoding.value };
    return { dataset: name === "hub" ? this.hubName : name };
  }

  /** Selects what `settings` say. A data set that only a link names is downloaded when the visitor asks for it. */
  async restore({ data, dataset, encoding = "utf-8" }: RunSettings, isLink: boolean): Promise<void> {
    const own = data === PASTED_FILE ? "paste" : data === undefined ? "" : "files";
    const chosen =
      dataset === undefined
        ? radio(`[value="${own}"]`)
        : (radio(`[value="${CSS.escape(dataset)}"]`) ?? radio("[value=hub]"));
    if (chosen) chosen.checked = true;
    if (source() === "hub") {
      byId<HTMLInputElement>("texts-name").value = dataset!;
      if (!isLink) this.hubName = dataset!;
    }
    this.encoding.value = encoding;
    if (!isLink) {
      this.files = await keptFiles("texts");
      const [pasted] = await keptFiles("pasted");
      this.pasted.value = (await pasted?.text()) ?? "";
    }
    await this.choose();
  }

  /** Takes selected or dropped files; new ones are read as UTF-8 first. */
  take(files: readonly File[]): void {
    if (files.length === 0) return;
    radio("[value=files]")!.checked = true;
    this.encoding.selectedIndex = 0;
    this.files = files;
    void keepFiles("texts", files);
    void this.choose();
  }

  private async choose(): Promise<void> {
    const name = source();
    for (const [value, part] of Object.entries(PARTS)) byId(part).hidden = value !== name;
    setText(
      byId("text-file-names"),
      this.files.length > 0 ? `Selected: ${this.files.map((file) => file.name).join(", ")}` : "",
    );
    this.isReady = false;
    const isReady = await this.pick(name);
    if (name !== source()) return;
    this.isReady = isReady;
    this.changed();
  }

  /** Gives the selected files to the worker. Returns whether there are texts. */
  private async pick(name: string): Promise<boolean> {
    if (name === "files") {
      await this.client.pick([...this.files]);
      return this.files.length > 0;
    }
    if (name !== "paste") return name !== "hub" || this.hubName !== "";
    const text = this.pasted.value;
    const file = new File([text], PASTED_FILE);
    void keepFiles("pasted", [file]);
    await this.client.pick([file]);
    return text.trim() !== "";
  }
}

/** How many documents and tokens there are, how they are divided, and their beginning. */
export function describeTexts({ documents, stats, maxLength, preview, notes }: TextsReport): HTMLElement[] {
  const { train, val, test } = stats;
  const tokens = train.tokens + val.tokens + test.tokens;
  const blocks = train.rows + val.rows + test.rows;
  return [
    h(
      "p",
      { class: "lead" },
      `${count(documents)} ${documents === 1 ? "document" : "documents"} of ${count(tokens)} tokens (words and parts of words), in ${count(blocks)} blocks of ${maxLength}: `,
      `${count(train.tokens)} tokens to train, ${count(val.tokens)} to validate, ${count(test.tokens)} to test.`,
    ),
    ...(notes.length > 0
      ? [
          h(
            "ul",
            { class: "notes" },
            notes.map((note) => h("li", {}, sentence(note))),
          ),
        ]
      : []),
    h("details", {}, h("summary", {}, "Look at the text"), h("p", { class: "prose excerpt" }, `${preview} …`)),
  ];
}
