/** A message as it is typed: its label by what was learned, and by the base model beside it. */

import type { RunRecord, Verdict } from "../protocol.ts";
import { CallFailed, type WorkerClient } from "./client.ts";
import { bar, byId, h, setText } from "./dom.ts";
import { percent } from "./format.ts";
import { showError } from "./notice.ts";

/** Milliseconds without a key before a message is labelled. */
const PAUSE = 120;
const EXAMPLE = "Congratulations! You have won a free cruise. Reply now to claim your prize.";

export class TryPanel {
  private run: RunRecord | null = null;
  private timer = 0;
  /** Whether a message is being labelled, and whether another one waits. */
  private busy = false;
  private again = false;
  private readonly message = byId<HTMLTextAreaElement>("message");
  private readonly place = byId("verdict");

  constructor(private readonly client: WorkerClient) {
    this.message.placeholder = EXAMPLE;
    this.message.addEventListener("input", () => this.soon());
    this.use(null);
  }

  /** Labels with a run from now on. */
  use(run: RunRecord | null): void {
    const writes = run?.objective === "lm";
    const usable = run?.usable && !writes ? run : null;
    const changed =
      usable?.id !== this.run?.id ||
      usable?.evaluations.length !== this.run?.evaluations.length ||
      usable?.state !== this.run?.state;
    // The record of a run that goes on is changed in place.
    this.run = usable && { ...usable, evaluations: [...usable.evaluations] };
    this.message.disabled = usable === null;
    setText(
      byId("try-help"),
      writes
        ? "This adapter labels nothing: it writes, below."
        : usable === null
          ? "Once a run has learned something, type a message here: it is labelled as you type."
          : `With ${usable.title}${usable.state === "training" ? ", as it stands at its last evaluation" : ""}.`,
    );
    if (usable === null) this.place.replaceChildren();
    else if (changed) this.soon();
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.label(), PAUSE);
  }

  private async label(): Promise<void> {
    const { run, message } = this;
    const text = message.value.trim();
    if (!run || text === "") {
      this.place.replaceChildren();
      return;
    }
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      this.show(await this.client.classify(run.id, text));
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      showError(this.place, error.report);
    } finally {
      this.busy = false;
      if (this.again) {
        this.again = false;
        void this.label();
      }
    }
  }

  private show({ adapter, base }: Verdict): void {
    this.place.replaceChildren(
      side("After training", adapter, "learned"),
      side("Base model, its head untrained", base, "base"),
    );
  }
}

function side(title: string, { label, probability, probabilities }: Verdict["adapter"], kind: string): HTMLElement {
  return h(
    "div",
    { class: `side ${kind}` },
    h("h3", {}, title),
    h("p", { class: "predicted" }, h("strong", {}, label), ` ${percent(probability)}`),
    h(
      "div",
      { class: "bars", "aria-hidden": "true" },
      Object.entries(probabilities).map(([name, share]) =>
        h("div", {}, h("span", { class: "name" }, name), bar(share), h("span", { class: "n" }, percent(share))),
      ),
    ),
  );
}
