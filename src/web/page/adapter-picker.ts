/** The choice of the adapter that training starts from: a new one, or one of an earlier run or of a file. */

import type { Objective } from "../../config.ts";
import { hasAdapter, type RunRecord } from "../protocol.ts";
import { byId, h } from "./dom.ts";
import { when } from "./format.ts";

export class AdapterPicker {
  /** The id of its run; undefined: a new adapter. */
  adapter: string | undefined;
  private readonly select = byId<HTMLSelectElement>("beginning");
  private runs: readonly RunRecord[] = [];

  constructor(private readonly changed: () => void) {
    this.select.addEventListener("input", () => this.choose());
  }

  /** Lists the adapters of a base model and an objective. */
  offer(model: string | null, objective: Objective, all: readonly RunRecord[]): void {
    this.runs = all.filter((run) => run.settings.model === model && run.objective === objective && canStartFrom(run));
    byId("beginning-field").hidden = this.runs.length === 0;
    this.select.replaceChildren(
      h("option", { value: "" }, "a new adapter"),
      ...this.runs.map(({ id, title, dataName, created }) =>
        h("option", { value: id, selected: id === this.adapter }, `${title}: ${dataName}, ${when(created)}`),
      ),
    );
    if (this.select.value !== (this.adapter ?? "")) this.choose();
  }

  private choose(): void {
    this.adapter = this.select.value || undefined;
    this.changed();
  }
}

function canStartFrom(run: RunRecord): boolean {
  return hasAdapter(run) && (run.settings.mode ?? "lora") === "lora";
}
