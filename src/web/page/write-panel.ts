/** Text generation, shown as it is generated: with the base model, or with a language-model adapter. */
import type { DeviceName } from "../../config.ts";
import { SAMPLING_RANGES } from "../../infer/sampling.ts";
import type { Event, RunRecord, WriteRequest } from "../protocol.ts";
import { reportOf, type WorkerClient } from "./client.ts";
import { byId, h, scrollArea, setFigures, setText } from "./dom.ts";
import { count } from "./format.ts";
import { showError } from "./notice.ts";
import { type NumberField, numberField } from "./number-field.ts";

/** Sampling: greedy decoding of a small model repeats itself. */
const START = { maxNewTokens: 100, temperature: 0.8, topK: 0, topP: 0.95, repetitionPenalty: 1, seed: 1 };
type Key = keyof typeof START;

const FIELDS: Record<Key, NumberField> = {
  maxNewTokens: { label: "Maximum new tokens", min: 1, whole: true },
  temperature: { label: "Temperature", help: "0: greedy decoding", ...SAMPLING_RANGES.temperature },
  topK: { label: "Top-k", help: "0: all tokens", ...SAMPLING_RANGES.topK },
  topP: { label: "Top-p", help: "1: all tokens", ...SAMPLING_RANGES.topP },
  repetitionPenalty: {
    label: "Repetition penalty",
    help: "Above 1: less repetition",
    ...SAMPLING_RANGES.repetitionPenalty,
  },
  seed: { label: "Seed", help: "For sampling", min: 0, whole: true },
};
/** Fields that apply to sampling only. */
const OF_SAMPLING: readonly Key[] = ["topK", "topP", "seed"];

/** Milliseconds between updates of the speed. */
const SHOW_EVERY = 200;
const NONE = "–";

type Written = Extract<Event, { type: "written" }>;

/** The elements of one prompt's text. */
interface Text {
  prose: HTMLElement;
  note: HTMLElement;
  forgotten: number;
}

export class WritePanel {
  private readonly values = { ...START };
  private readonly wrong = new Set<Key>();
  private readonly groups = new Map<Key, HTMLElement>();
  private readonly writer = byId<HTMLSelectElement>("writer");
  private readonly prompt = byId<HTMLTextAreaElement>("prompt");
  private readonly error = byId("write-error");
  private readonly written = h("div", { class: "texts" });
  private readonly place = scrollArea("Written text", this.written, "written");
  /** The selected base model; null while there is none. */
  private model: string | null = null;
  private busy = false;
  private texts: Text[] = [];
  private tokens = 0;
  private shownAt = 0;

  constructor(
    private readonly client: WorkerClient,
    private readonly device: () => DeviceName,
    /** Called when an adapter has been loaded. */
    private readonly loaded: () => void,
  ) {
    for (const key of Object.keys(FIELDS) as Key[]) {
      const group = numberField(`write-${key}`, START[key], FIELDS[key], (value, isWrong) =>
        this.take(key, value, isWrong),
      );
      this.groups.set(key, group);
      byId("write-fields").append(group);
    }
    byId("write-form").addEventListener("submit", (event) => {
      event.preventDefault();
      void this.write();
    });
    byId("write-stop").addEventListener("click", () => void client.stopWriting());
    const files = byId<HTMLInputElement>("writer-files");
    files.addEventListener("change", () => void this.load(files));
    client.listen((event) => {
      if (event.type === "written") this.onWritten(event);
    });
    byId("written").append(this.place);
    this.figures(null);
  }

  /** Lists the base model and the language-model adapters. */
  offer(model: string | null, runs: readonly RunRecord[]): void {
    this.model = model;
    const { value } = this.writer;
    const adapters = runs.filter(({ objective }) => objective === "lm");
    this.writer.replaceChildren(
      h("option", { value: "" }, model === null ? "base model" : `${model}, base model`),
      ...adapters.map(({ id, title, dataName, settings }) =>
        h("option", { value: id, selected: id === value }, `${title}: ${dataName}, on ${settings.model}`),
      ),
    );
    this.enable();
  }

  private take(key: Key, value: number, isWrong: boolean): void {
    this.values[key] = value;
    if (isWrong) this.wrong.add(key);
    else this.wrong.delete(key);
    if (key === "temperature") for (const other of OF_SAMPLING) this.groups.get(other)!.hidden = value === 0;
    this.enable();
  }

  /** The keys of the visible fields. */
  private get keys(): Key[] {
    return [...this.groups].filter(([, group]) => !group.hidden).map(([key]) => key);
  }

  private enable(): void {
    const canWrite = this.writer.value !== "" || this.model !== null;
    byId<HTMLButtonElement>("write-start").disabled = !canWrite || this.keys.some((key) => this.wrong.has(key));
  }

  private get request(): WriteRequest {
    const text = this.prompt.value;
    const lines = text.replace(/\n$/, "").split("\n");
    const stop = byId<HTMLTextAreaElement>("stop-strings").value.split("\n");
    return {
      model: this.model ?? "",
      adapter: this.writer.value || null,
      device: this.device(),
      prompts: byId<HTMLInputElement>("prompt-lines").checked ? lines : [text],
      options: {
        ...Object.fromEntries(this.keys.map((key) => [key, this.values[key]])),
        stop: stop.filter((line) => line !== "").map((line) => line.replaceAll("\\n", "\n")),
      },
    };
  }

  private async write(): Promise<void> {
    if (this.busy) return;
    const { request } = this;
    this.begin(request.prompts);
    try {
      const { seconds, stopped } = await this.client.write(request);
      this.figures(seconds);
      const forgotten = this.texts.some((text) => text.forgotten > 0) ? " The oldest tokens were dropped." : "";
      setText(byId("write-status"), `${stopped ? "Stopped" : "Done"}: ${count(this.tokens)} tokens.${forgotten}`);
    } catch (error) {
      setText(byId("write-status"), "");
      showError(this.error, reportOf(error));
    } finally {
      this.show(false);
    }
  }

  private begin(prompts: readonly string[]): void {
    this.tokens = 0;
    this.texts = prompts.map((prompt) => ({
      prose: h("p", { class: "prose" }, h("span", { class: "prompt" }, prompt)),
      note: h("small"),
      forgotten: 0,
    }));
    this.written.replaceChildren(...this.texts.map(({ prose, note }) => h("div", { class: "text" }, prose, note)));
    showError(this.error, null);
    this.figures(null);
    setText(byId("write-status"), "Generating …");
    this.show(true);
  }

  /** Shows the button that applies and moves the focus to it. */
  private show(busy: boolean): void {
    this.busy = busy;
    const [start, stop] = [byId("write-start"), byId("write-stop")];
    const hadFocus = document.activeElement === (busy ? start : stop);
    start.hidden = busy;
    stop.hidden = !busy;
    if (hadFocus) (busy ? stop : start).focus({ preventScroll: true });
  }

  private onWritten({ chunk, seconds }: Written): void {
    const { prompt, text, ids, finish, forgotten } = chunk;
    const of = this.texts[prompt]!;
    const { place } = this;
    const atEnd = place.scrollTop + place.clientHeight >= place.scrollHeight - 8;
    of.prose.append(text);
    of.forgotten = forgotten ?? of.forgotten;
    const notes = [
      of.forgotten > 0 ? `Longer than the model's context: the oldest ${count(of.forgotten)} tokens were dropped.` : "",
      finish === "length" ? "Maximum length reached." : "",
      finish === "stop" ? "Ended at a stop string." : "",
      finish === "end" ? "Ended by the model." : "",
    ];
    setText(of.note, notes.join(" ").trim());
    if (atEnd) place.scrollTop = place.scrollHeight;
    this.tokens += ids.length;
    if (performance.now() - this.shownAt > SHOW_EVERY) this.figures(seconds);
  }

  private figures(seconds: number | null): void {
    this.shownAt = performance.now();
    const speed = seconds === null || seconds === 0 ? NONE : (this.tokens / seconds).toFixed(1);
    setFigures(byId("write-figures"), [
      ["Tokens", seconds === null ? NONE : count(this.tokens)],
      ["Tokens per second", speed],
    ]);
  }

  private async load(input: HTMLInputElement): Promise<void> {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (files.length === 0) return;
    try {
      const id = await this.client.loadAdapter(files, this.model ?? "gpt2-micro", "lm");
      showError(this.error, null);
      // A placeholder that keeps the selection until `offer` lists the adapter.
      this.writer.append(h("option", { value: id, selected: true }));
      this.loaded();
    } catch (error) {
      showError(this.error, reportOf(error));
    }
  }
}
