/** What training begins with: a fresh adapter, or what a run or a loaded adapter has learned. */

import { isUnderWay, type PageSettings, type RunRecord } from "../protocol.ts";
import { byId, h } from "./dom.ts";
import { when } from "./format.ts";

export class AdapterPicker {
  /** null: a fresh adapter. */
  adapter: NonNullable<PageSettings["adapter"]> | null = null;
  private readonly select = byId<HTMLSelectElement>("beginning");
  private runs: readonly RunRecord[] = [];

  constructor(private readonly changed: () => void) {
    this.select.addEventListener("input", () => this.choose());
  }

  /** Offers the adapters of a base model that label messages. */
  offer(model: string | null, all: readonly RunRecord[]): void {
    this.runs = all.filter((run) => run.settings.model === model && canBegin(run));
    byId("beginning-field").hidden = this.runs.length === 0;
    this.select.replaceChildren(
      h("option", { value: "" }, "a fresh adapter"),
      ...this.runs.map(({ id, title, dataName, created }) =>
        h("option", { value: id, selected: id === this.adapter?.id }, `${title}: ${dataName}, ${when(created)}`),
      ),
    );
    if (this.select.value !== (this.adapter?.id ?? "")) this.choose();
  }

  private choose(): void {
    const run = this.runs.find(({ id }) => id === this.select.value);
    this.adapter = run ? { id: run.id, title: run.title } : null;
    this.changed();
  }
}

function canBegin(run: RunRecord): boolean {
  const { state, usable, objective, settings } = run;
  const isDone = usable && !isUnderWay(run) && state !== "elsewhere" && state !== "interrupted";
  return isDone && objective !== "lm" && (settings.options.mode ?? "lora") === "lora";
}
