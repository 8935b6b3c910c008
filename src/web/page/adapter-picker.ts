/** The choice of the adapter that training starts from: a new one, or one of an earlier run or of a file. */

import type { Objective } from "../../config.ts";
import { dataName, describeMethod } from "../../run/record.ts";
import { hasAdapter, type PageRun } from "../protocol.ts";
import { byId, h } from "./dom.ts";
import { when } from "./format.ts";

export class AdapterPicker {
  /** The id of its run; undefined: a new adapter. */
  adapter: string | undefined;
  private readonly select = byId<HTMLSelectElement>("beginning");
  private runs: readonly PageRun[] = [];

  constructor(private readonly changed: () => void) {
    this.select.addEventListener("input", () => this.choose());
  }

  /** Lists the adapters of a base model and an objective. */
  offer(model: string | null, objective: Objective, all: readonly PageRun[]): void {
    this.runs = all.filter((run) => run.model === model && run.record.objective === objective && canStartFrom(run));
    byId("beginning-field").hidden = this.runs.length === 0;
    this.select.replaceChildren(
      h("option", { value: "" }, "a new adapter"),
      ...this.runs.map(({ id, record }) =>
        h(
          "option",
          { value: id, selected: id === this.adapter },
          `${describeMethod(record.options)}: ${dataName(record)}, ${when(record.created)}`,
        ),
      ),
    );
    if (this.select.value !== (this.adapter ?? "")) this.choose();
  }

  private choose(): void {
    this.adapter = this.select.value || undefined;
    this.changed();
  }
}

function canStartFrom(run: PageRun): boolean {
  return hasAdapter(run) && run.record.options.mode === "lora";
}
