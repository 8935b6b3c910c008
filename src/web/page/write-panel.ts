/** Text that the base model and a trained adapter write, side by side, shown as it is generated. */
import type { DeviceName, Objective } from "../../config.ts";
import { SAMPLING_RANGES } from "../../infer/sampling.ts";
import { describeMethod } from "../../run/record.ts";
import { type Event, hasAdapter, type PageRun, type WriteRequest } from "../protocol.ts";
import { failureReport, type WorkerClient } from "./client.ts";
import { byId, h, scrollArea, setText } from "./dom.ts";
import { count } from "./format.ts";
import { showError } from "./notice.ts";
import { type NumberField, numberField } from "./number-field.ts";
import { keepText } from "./saved.ts";

/** Sampling: greedy decoding of a small model repeats itself. */
const START = { maxNewTokens: 60, temperature: 0.8, topK: 0, topP: 0.95, repetitionPenalty: 1, seed: 1 };
type Key = keyof typeof START;

const FIELDS: Record<Key, NumberField> = {
  maxNewTokens: {
    label: "Maximum new tokens",
    why: "How long the text becomes at most. A token is a word or a part of one.",
    min: 1,
    whole: true,
  },
  temperature: {
    label: "Temperature",
    help: "0: greedy decoding",
    why: "How much chance decides. Low values take the likeliest tokens and repeat themselves; high ones surprise and lose the thread.",
    ...SAMPLING_RANGES.temperature,
  },
  topK: {
    label: "Top-k",
    help: "0: all tokens",
    why: "Only the k likeliest tokens can be drawn. Few of them keep the text plain.",
    ...SAMPLING_RANGES.topK,
  },
  topP: {
    label: "Top-p",
    help: "1: all tokens",
    why: "Only the likeliest tokens that have this probability together can be drawn. 0.9 to 0.95 leaves out the odd ones.",
    ...SAMPLING_RANGES.topP,
  },
  repetitionPenalty: {
    label: "Repetition penalty",
    help: "Above 1: less repetition",
    why: "Tokens that are in the text already become less likely. Far above 1 the text becomes strange.",
    ...SAMPLING_RANGES.repetitionPenalty,
  },
  seed: {
    label: "Seed",
    help: "For sampling",
    why: "The start of the random numbers. The same seed and settings give the same text.",
    min: 0,
    whole: true,
  },
};
/** Fields that apply to sampling only. */
const OF_SAMPLING: readonly Key[] = ["topK", "topP", "seed"];

type Written = Extract<Event, { type: "written" }>;

/** The elements of one prompt's text. */
interface Text {
  prose: HTMLElement;
  note: HTMLElement;
  forgotten: number;
}

/** What one model writes. */
interface Column {
  adapter: string | null;
  place: HTMLElement;
  texts: Text[];
}

export class WritePanel {
  private readonly values = { ...START };
  private readonly wrong = new Set<Key>();
  private readonly groups = new Map<Key, HTMLElement>();
  private readonly prompt = byId<HTMLTextAreaElement>("prompt");
  private readonly error = byId("write-error");
  /** The selected base model; null while there is none. */
  private model: string | null = null;
  private objective: Objective = "classification";
  /** The selected run if it is a language model's that can write; its adapter is compared with its base model. */
  private run: PageRun | null = null;
  private busy = false;
  /** What is being written now. */
  private column: Column | null = null;
  private tokens = 0;

  constructor(
    private readonly client: WorkerClient,
    private readonly device: () => DeviceName,
    /** Called with the id of an adapter that has been loaded. */
    private readonly loaded: (id: string) => void,
  ) {
    for (const key of Object.keys(FIELDS) as Key[]) {
      const group = numberField(`write-${key}`, START[key], FIELDS[key], (value, isWrong) =>
        this.take(key, value, isWrong),
      );
      this.groups.set(key, group);
      byId("write-fields").append(group);
    }
    keepText(this.prompt);
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
  }

  /** Takes the selected base model and what is to be learned. */
  offer(model: string | null, objective: Objective): void {
    this.model = model;
    this.objective = objective;
    this.show();
  }

  /** Takes the selected run. */
  use(run: PageRun | null): void {
    const before = this.run?.id;
    this.run = run?.record.objective === "lm" && hasAdapter(run) ? run : null;
    if (this.run?.id !== before && !this.busy) byId("written").replaceChildren();
    this.show();
  }

  private show(): void {
    const { run, model } = this;
    byId("write").hidden = this.objective !== "lm" && run === null;
    setText(
      byId("write-help"),
      run
        ? `${run.model} continues the prompt twice, without and with the adapter (${describeMethod(run.record.options)}), with the same settings and seed.`
        : `${model ?? "The model"} continues the prompt, as it is before training.`,
    );
    const canWrite = run !== null || model !== null;
    byId<HTMLButtonElement>("write-start").disabled = !canWrite || this.keys.some((key) => this.wrong.has(key));
  }

  private take(key: Key, value: number, isWrong: boolean): void {
    this.values[key] = value;
    if (isWrong) this.wrong.add(key);
    else this.wrong.delete(key);
    if (key === "temperature") for (const other of OF_SAMPLING) this.groups.get(other)!.hidden = value === 0;
    this.show();
  }

  /** The keys of the visible fields. */
  private get keys(): Key[] {
    return [...this.groups].filter(([, group]) => !group.hidden).map(([key]) => key);
  }

  private get request(): Omit<WriteRequest, "adapter"> {
    const text = this.prompt.value;
    const lines = text.replace(/\n$/, "").split("\n");
    const stop = byId<HTMLTextAreaElement>("stop-strings").value.split("\n");
    return {
      model: this.run?.model ?? this.model ?? "",
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
    const columns = this.begin(request.prompts);
    try {
      let [seconds, stopped] = [0, false];
      for (const column of columns) {
        this.column = column;
        const report = await this.client.write({ ...request, adapter: column.adapter });
        seconds += report.seconds;
        stopped = report.stopped;
        if (stopped) break;
      }
      const speed = seconds > 0 ? `, ${(this.tokens / seconds).toFixed(0)} per second` : "";
      setText(byId("write-status"), `${stopped ? "Stopped" : "Done"}: ${count(this.tokens)} tokens${speed}.`);
    } catch (error) {
      setText(byId("write-status"), "");
      showError(this.error, failureReport(error));
    } finally {
      this.setBusy(false);
    }
  }

  /** Makes an empty column for each model that writes. */
  private begin(prompts: readonly string[]): Column[] {
    const { run } = this;
    const column = (title: string, kind: string, adapter: string | null): Column => {
      const texts = prompts.map((prompt) => ({
        prose: h("p", { class: "prose" }, h("span", { class: "prompt" }, prompt)),
        note: h("small"),
        forgotten: 0,
      }));
      const content = texts.map(({ prose, note }) => h("div", { class: "text" }, prose, note));
      const area = scrollArea(`${title}: its text`, h("div", { class: "texts" }, content), "written");
      const place = h("div", { class: `side ${kind}` }, h("h3", {}, title), area);
      return { adapter, place, texts };
    };
    const base = column(run ? "Base model" : "Base model, before training", "base", null);
    const columns = run ? [base, column("With the adapter", "learned", run.id)] : [base];
    byId("written").replaceChildren(...columns.map(({ place }) => place));
    this.tokens = 0;
    showError(this.error, null);
    setText(byId("write-status"), "Writing …");
    this.setBusy(true);
    return columns;
  }

  /** Shows the button that applies and moves the focus to it. */
  private setBusy(busy: boolean): void {
    this.busy = busy;
    const [start, stop] = [byId("write-start"), byId("write-stop")];
    const hadFocus = document.activeElement === (busy ? start : stop);
    start.hidden = busy;
    stop.hidden = !busy;
    if (hadFocus) (busy ? stop : start).focus({ preventScroll: true });
  }

  private onWritten({ chunk: { prompt, text, ids, finish, forgotten } }: Written): void {
    const { place, texts } = this.column!;
    const of = texts[prompt]!;
    const area = place.querySelector(".written")!;
    const atEnd = area.scrollTop + area.clientHeight >= area.scrollHeight - 8;
    of.prose.append(text);
    of.forgotten = forgotten ?? of.forgotten;
    const notes = [
      of.forgotten > 0 ? `Longer than the model's context: the oldest ${count(of.forgotten)} tokens were dropped.` : "",
      finish === "length" ? "Maximum length reached." : "",
      finish === "stop" ? "Ended at a stop string." : "",
      finish === "end" ? "Ended by the model." : "",
    ];
    setText(of.note, notes.join(" ").trim());
    if (atEnd) area.scrollTop = area.scrollHeight;
    this.tokens += ids.length;
  }

  private async load(input: HTMLInputElement): Promise<void> {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (files.length === 0) return;
    try {
      const id = await this.client.load(files, this.model ?? "gpt2-micro", "lm");
      showError(this.error, null);
      this.loaded(id);
    } catch (error) {
      showError(this.error, failureReport(error));
    }
  }
}
