/** Classifies a message as it is typed, with the trained adapter and the base model, and shows which words count. */

import { describeMethod } from "../../run/record.ts";
import type { TestMessage, TestResults } from "../../train/results.ts";
import { isUnderWay, type PageRun, type Verdict } from "../protocol.ts";
import { CallFailed, type WorkerClient } from "./client.ts";
import { bar, byId, h, setText } from "./dom.ts";
import { percent } from "./format.ts";
import { influence } from "./influence.ts";
import { showError } from "./notice.ts";
import { keepText } from "./saved.ts";

/** Milliseconds without input until a message is classified, and then until its words are, each as one more message. */
const PAUSE = 120;
const WORDS_PAUSE = 400;
/** Characters of a sample on its button. */
const SAMPLE = 120;
/** Samples that were labelled rightly, and as many others. */
const SAMPLES = 3;
/** Characters of a sample that is read at a glance. */
const SHORT = 200;

export class TryPanel {
  private run: PageRun | null = null;
  private timer = 0;
  /** Whether a message is being classified, and whether a newer one is pending. */
  private busy = false;
  private again = false;
  /** True labels of the samples, by their text. */
  private truths = new Map<string, string>();
  private readonly message = byId<HTMLTextAreaElement>("message");
  private readonly place = byId("verdict");
  private readonly words = byId("words");
  private readonly samples = byId("samples");

  constructor(private readonly client: WorkerClient) {
    keepText(this.message);
    this.message.addEventListener("input", () => this.soon());
    this.use(null);
  }

  /** Selects the run that classifies. */
  use(run: PageRun | null): void {
    const usable = run?.usable && run.record.objective !== "lm" ? run : null;
    const isOther = usable?.id !== this.run?.id;
    const changed =
      isOther ||
      usable?.record.evaluations.length !== this.run?.record.evaluations.length ||
      usable?.state !== this.run?.state;
    this.run = usable;
    byId("try").hidden = usable === null;
    this.message.disabled = usable === null;
    setText(
      byId("try-help"),
      usable === null
        ? ""
        : `Model: ${describeMethod(usable.record.options)}${usable.state === "training" ? ", at its last evaluation" : ""}.`,
    );
    if (isOther) this.clear();
    if (!changed) return;
    this.offerSamples(usable);
    if (usable) this.soon();
  }

  private clear(): void {
    this.place.replaceChildren();
    this.words.replaceChildren();
  }

  /** Messages of the run's test set, as buttons. */
  private offerSamples(run: PageRun | null): void {
    const measured = run && !isUnderWay(run) ? run.record.results?.test : undefined;
    const samples = measured ? someMessages(measured) : [];
    this.truths = new Map(samples.map(({ text, truth }) => [text.trim(), truth]));
    this.samples.hidden = samples.length === 0;
    this.samples.replaceChildren(
      h("p", { class: "help" }, "Or one of its test messages:"),
      h(
        "ul",
        {},
        samples.map(({ text, truth, predicted }) => {
          const short = text.trim().replaceAll(/\s+/g, " ");
          const shown = short.length > SAMPLE ? `${short.slice(0, SAMPLE)} …` : short;
          const right = truth === predicted;
          return h(
            "li",
            {},
            h("button", { type: "button", class: "link", onclick: () => this.choose(text) }, shown),
            h(
              "small",
              { class: right ? "right" : "mistaken" },
              right ? `${truth}, as predicted` : `${truth}, predicted ${predicted}`,
            ),
          );
        }),
      ),
    );
  }

  private choose(text: string): void {
    this.message.value = text.trim();
    this.message.dispatchEvent(new Event("input"));
  }

  private get text(): string {
    return this.message.value.trim();
  }

  private soon(): void {
    clearTimeout(this.timer);
    if (this.text === "") this.clear();
    this.timer = window.setTimeout(() => this.classify(), PAUSE);
  }

  private async classify(): Promise<void> {
    const { run, text } = this;
    if (!run || text === "") return;
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    // The first message waits for the model.
    if (!this.place.hasChildNodes()) this.place.replaceChildren(h("p", { class: "help" }, "Classifying …"));
    try {
      const verdict = await this.client.classify(run.id, text);
      // The field may be empty, or the run another one, by now.
      if (text === this.text && run.id === this.run?.id) this.show(verdict, text);
    } catch (error) {
      if (!(error instanceof CallFailed)) throw error;
      this.words.replaceChildren();
      showError(this.place, error.report);
      return;
    } finally {
      this.busy = false;
      if (this.again) {
        this.again = false;
        void this.classify();
      }
    }
    if (text !== this.text || this.busy) return;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => this.explain(run.id, text), WORDS_PAUSE);
  }

  /** Shows which words count. A run that trains needs the device for itself. */
  private async explain(id: string, text: string): Promise<void> {
    const found = await this.client.influences(id, text).catch(() => null);
    if (text !== this.text || id !== this.run?.id) return;
    this.words.replaceChildren(...(found ? influence(text, found) : []));
  }

  private show({ adapter, base }: Verdict, text: string): void {
    const truth = this.truths.get(text);
    this.place.replaceChildren(
      side("Fine-tuned model", adapter, "learned", truth),
      side("Base model, untrained head", base, "base"),
    );
    // Drops the words of an earlier text.
    if (this.words.dataset.text !== text) this.words.replaceChildren();
    this.words.dataset.text = text;
  }
}

/** Messages that were classified correctly, and as many others that are read at a glance if there are some. */
function someMessages({ samples, mistakes }: TestResults): TestMessage[] {
  const wrong = mistakes.filter(({ text }) => text.trim() !== "");
  const short = wrong.filter(({ text }) => text.length <= SHORT);
  return [...samples.slice(0, SAMPLES), ...(short.length > 0 ? short : wrong).slice(0, SAMPLES)];
}

function side(
  title: string,
  { label, probability, probabilities, unlike }: Verdict["adapter"],
  kind: string,
  truth?: string,
): HTMLElement {
  const isRight = truth === label;
  return h(
    "div",
    { class: `side ${kind}` },
    h("h3", {}, title),
    h("p", { class: "predicted" }, h("strong", {}, label), ` ${percent(probability)}`),
    truth === undefined
      ? null
      : h(
          "p",
          { class: isRight ? "right" : "mistaken" },
          isRight ? "Right: this is its true label." : `Wrong: its true label is ${truth}.`,
        ),
    unlike && kind === "learned"
      ? h("p", { class: "unlike" }, "This message is unlike the training data: the label means little.")
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
