/** Classifies a message while it is typed, with the trained adapter and with the base model. */

import type { RunRecord, Verdict } from "../protocol.ts";
import { CallFailed, type WorkerClient } from "./client.ts";
import { bar, byId, h, setText } from "./dom.ts";
import { percent } from "./format.ts";
import { showError } from "./notice.ts";

/** Milliseconds without input before a message is classified. */
const PAUSE = 120;

export class TryPanel {
  private run: RunRecord | null = null;
  private timer = 0;
  /** Whether a message is being classified, and whether a newer one is pending. */
  private busy = false;
  private again = false;
  private readonly message = byId<HTMLTextAreaElement>("message");
  private readonly place = byId("verdict");

  constructor(private readonly client: WorkerClient) {
    this.message.addEventListener("input", () => this.soon());
    this.use(null);
  }

  /** Selects the run that classifies. */
  use(run: RunRecord | null): void {
    const generates = run?.objective === "lm";
    const usable = run?.usable && !generates ? run : null;
    const changed =
      usable?.id !== this.run?.id ||
      usable?.evaluations.length !== this.run?.evaluations.length ||
      usable?.state !== this.run?.state;
    // The record of an active run is changed in place.
    this.run = usable && { ...usable, evaluations: [...usable.evaluations] };
    byId("try").hidden = usable === null && !generates;
    this.message.disabled = usable === null;
    setText(
      byId("try-help"),
      generates
        ? "This is a language-model adapter: use it to generate text below."
        : usable === null
          ? "After a run's first evaluation, messages are classified here as you type."
          : `Model: ${usable.title}${usable.state === "training" ? ", at its last evaluation" : ""}.`,
    );
    if (usable === null) this.place.replaceChildren();
    else if (changed) this.soon();
  }

  private soon(): void {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.classify(), PAUSE);
  }

  private async classify(): Promise<void> {
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
        void this.classify();
      }
    }
  }

  private show({ adapter, base }: Verdict): void {
    this.place.replaceChildren(
      side("Fine-tuned model", adapter, "learned"),
      side("Base model, untrained head", base, "base"),
    );
  }
}

function side(
  title: string,
  { label, probability, probabilities, unlike }: Verdict["adapter"],
  kind: string,
): HTMLElement {
  return h(
    "div",
    { class: `side ${kind}` },
    h("h3", {}, title),
    h("p", { class: "predicted" }, h("strong", {}, label), ` ${percent(probability)}`),
    unlike && kind === "learned"
      ? h("p", { class: "help" }, "This message is unlike the training data: the label means little.")
      : null,
    h(
      "div",
      { class: "bars", "aria-hidden": "true" },
      Object.entries(probabilities).map(([name, share]) =>
        h("div", {}, h("span", { class: "name" }, name), bar(share), h("span", { class: "n" }, percent(share))),
      ),
    ),
  );
}
