/** The choice of the adapter that training starts from: a new one, or one of an earlier run or of a file. */

import type { Objective } from "../../config.ts";
import { dataName, describeMethod } from "../../run/record.ts";
import { hasAdapter, type PageRun, type PageSettings } from "../protocol.ts";
import { byId, h } from "./dom.ts";
import { when } from "./format.ts";

export class AdapterPicker {
  /** null: a new adapter. */
  adapter: NonNullable<PageSettings["adapter"]> | null = null;
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
          { value: id, selected: id === this.adapter?.id },
          `${describeMethod(record.options)}: ${dataName(record)}, ${when(record.created)}`,
        ),
      ),
    );
    if (this.select.value !== (this.adapter?.id ?? "")) this.choose();
  }

  private choose(): void {
    const run = this.runs.find(({ id }) => id === this.select.value);
    this.adapter = run ? { id: run.id, title: describeMethod(run.record.options) } : null;
    this.changed();
  }
}

function canStartFrom(run: PageRun): boolean {
  return hasAdapter(run) && run.record.options.mode === "lora";
}
