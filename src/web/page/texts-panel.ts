/** The choice of the texts that GPT-2 learns to write like: bundled, pasted, from files or from the Hugging Face Hub. */
import type { DataChoice, TextsReport } from "../protocol.ts";
import type { WorkerClient } from "./client.ts";
import { byId, h, onName, setText } from "./dom.ts";
import { count } from "./format.ts";
import { sentence } from "./notice.ts";
import { keepFiles, keptFiles, type Saved } from "./saved.ts";

/** The radio button of a source: "human-rights", "paste", "files" or "hub". */
const radio = (which: string) => document.querySelector<HTMLInputElement>(`input[name=texts]${which}`);
const source = () => radio(":checked")!.value;

/** The part of the form for each source. */
const PARTS = { "human-rights": "text-about", paste: "paste", files: "text-own", hub: "texts-hub" };

/** The name of the file with the pasted text. */
const PASTED = "pasted-text.txt";
/** Milliseconds without input before a pasted text is read. */
const PAUSE = 500;

export class TextsPanel {
  /** The selected texts; null while there are none. */
  choice: DataChoice | null = { kind: "named", name: source() };
  private files: readonly File[] = [];
  /** The name of the hub's data set that was asked for last. */
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

  /** The choice as `restore` takes it; a link has no files. */
  get saved(): Saved {
    const texts = source();
    return {
      texts,
      ...(texts === "hub" ? { dataset: this.hubName } : {}),
      ...(texts === "files" ? { encoding: this.encoding.value } : {}),
    };
  }

  /** Makes a saved choice again. A data set that only a link names is not downloaded before the visitor asks for it. */
  async restore({ texts = "", dataset = "", encoding }: Saved, isLink: boolean): Promise<void> {
    const chosen = radio(`[value="${CSS.escape(texts)}"]`);
    if (chosen) chosen.checked = true;
    if (texts === "hub") {
      byId<HTMLInputElement>("texts-name").value = dataset;
      if (!isLink) this.hubName = dataset;
    }
    if (texts === "files") this.encoding.value = encoding ?? "utf-8";
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
    this.choice = await this.chosen(name);
    if (name === source()) this.changed();
  }

  private async chosen(name: string): Promise<DataChoice | null> {
    if (name === "paste") {
      const text = this.pasted.value;
      const file = new File([text], PASTED);
      void keepFiles("pasted", [file]);
      return text.trim() === "" ? null : this.fileChoice([file], "utf-8");
    }
    if (name === "files") return this.files.length === 0 ? null : this.fileChoice(this.files, this.encoding.value);
    const named = name === "hub" ? this.hubName : name;
    return named === "" ? null : { kind: "named", name: named };
  }

  private async fileChoice(files: readonly File[], encoding: string): Promise<DataChoice> {
    await this.client.pick([...files]);
    return { kind: "texts", files: files.map(({ name }) => name), encoding };
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
