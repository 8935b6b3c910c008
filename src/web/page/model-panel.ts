/** The choice of the base model: bundled, stored in this browser, from a folder, or from the Hugging Face Hub. */

import type { GPT2Config } from "../../config.ts";
import type { ModelEntry } from "../protocol.ts";
import { CallFailed, failureReport, type WorkerClient } from "./client.ts";
import { byId, h, onName, setText } from "./dom.ts";
import { compact } from "./format.ts";
import { showError } from "./notice.ts";
import { labelWithHelp } from "./number-field.ts";

const BUNDLED = "gpt2-micro";
const HELP =
  "The pretrained model that is fine-tuned. The bundled one is small enough for any machine; larger ones, such as gpt2 with 124 million parameters, learn more and take longer.";
const FROM_HUB = "from-hub";
const FROM_FOLDER = "from-folder";

export class ModelPanel {
  /** The open model; null while there is none. */
  name: string | null = BUNDLED;
  /** Its shape; null until it is open. */
  config: GPT2Config | null = null;
  private readonly select = byId<HTMLSelectElement>("model");
  private readonly error = byId("model-error");
  /** Counts choices, so that answers for an outdated one are dropped. */
  private version = 0;

  constructor(
    private readonly client: WorkerClient,
    private readonly changed: () => void,
  ) {
    byId("model-field").prepend(labelWithHelp(this.select.id, "Base model", HELP));
    this.select.addEventListener("input", () => this.choose());
    byId("model-forget").addEventListener("click", () => this.forget());
    onName("hub-name", "hub-open", (name) => void this.open(name));
    const files = byId<HTMLInputElement>("folder-files");
    files.addEventListener("change", () => this.add([...(files.files ?? [])]));
  }

  private async forget(): Promise<void> {
    try {
      await this.client.forgetModel(this.select.value);
      await this.open(BUNDLED);
    } catch (error) {
      showError(this.error, failureReport(error));
    }
  }

  /** Opens the model of the last visit or of a link. One that only a link names is downloaded on request. */
  async begin(wanted = BUNDLED, isLink = false): Promise<void> {
    const models = await this.client.models();
    this.list(BUNDLED, models);
    if (!isLink || models.some(({ name }) => name === wanted)) return this.open(wanted);
    this.select.value = FROM_HUB;
    byId<HTMLInputElement>("hub-name").value = wanted;
    this.choose();
  }

  private list(chosen: string, models: readonly ModelEntry[]): void {
    const names = models.map(({ name }) => name);
    if (!names.includes(chosen)) names.push(chosen);
    byId("model-forget").hidden = !models.some(({ name, kept }) => kept && name === chosen);
    this.select.replaceChildren(
      ...names.map((name) =>
        h("option", { value: name, selected: name === chosen }, name === BUNDLED ? `${name} (bundled)` : name),
      ),
      h("option", { value: FROM_FOLDER }, "from a local folder …"),
      h("option", { value: FROM_HUB }, "from the Hugging Face Hub …"),
    );
  }

  private choose(): void {
    const { value } = this.select;
    byId("hub").hidden = value !== FROM_HUB;
    byId("folder").hidden = value !== FROM_FOLDER;
    showError(this.error, null);
    if (value !== FROM_HUB && value !== FROM_FOLDER) void this.open(value);
    else this.close();
  }

  private close(): void {
    this.version++;
    this.name = null;
    setText(byId("model-report"), "");
    this.changed();
  }

  private async open(name: string): Promise<void> {
    if (name === "") return;
    this.close();
    const mine = this.version;
    try {
      const { config, values } = await this.client.openModel(name);
      const models = await this.client.models();
      if (mine !== this.version) return;
      this.list(name, models);
      showError(this.error, null);
      this.name = name;
      this.config = config;
      const { n_layer, n_head, n_embd, n_positions } = config;
      setText(
        byId("model-report"),
        `${compact(values)} parameters: ${n_layer} blocks, ${n_head} heads, width ${n_embd}, context ${n_positions} tokens.`,
      );
      byId("hub").hidden = true;
      byId("folder").hidden = true;
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      if (mine !== this.version) return;
      showError(this.error, failureReport(error));
    }
    this.changed();
  }

  private async add(files: File[]): Promise<void> {
    try {
      await this.open(await this.client.addModel(files));
    } catch (error) {
      showError(this.error, failureReport(error));
    }
  }
}
