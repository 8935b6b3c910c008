/** What the base model and the adapter of the shown run write, as they write it. */
import { computed, signal } from "@preact/signals";
import { describeReplaced } from "../../../backend/backend.ts";
import { type NumberRange, readNumber } from "../../../checks.ts";
import { formatCount } from "../../../format.ts";
import type { GenerationChunk } from "../../../infer/generation.ts";
import { SAMPLING_RANGES } from "../../../infer/sampling.ts";
import type { ErrorReport, WriteRequest } from "../../protocol.ts";
import { open, writer } from "../runs/runs.ts";
import { failureReport } from "../shared/client.ts";
import { goTo } from "../shared/scroll.ts";
import { attempt, worker } from "../shared/worker.ts";
import { values } from "../train/fields.ts";
import { model } from "../train/model.ts";
import { keptText } from "../train/saved.ts";

/** Sampling: greedy decoding of a small model repeats itself. */
const START = { maxNewTokens: 60, temperature: 0.8, topK: 0, topP: 0.95, repetitionPenalty: 1, seed: 1 };
export type WriteKey = keyof typeof START;
const WRITE_KEYS = Object.keys(START) as WriteKey[];
export const WRITE_RANGES: Readonly<Record<WriteKey, NumberRange>> = {
  ...SAMPLING_RANGES,
  maxNewTokens: { min: 1, whole: true },
  seed: { min: 0, whole: true },
};
/** What applies to sampling only. */
const OF_SAMPLING: readonly WriteKey[] = ["topK", "topP", "seed"];

export const prompt = keptText("prompt", "Everyone");
/** Whether the prompt is a message to answer, as the visitor chose; null: as suits what writes. */
const chatChoice = signal<boolean | null>(null);
/** Whether each line is a prompt. */
export const byLine = signal(false);
/** One stop string per line. */
export const stops = signal("");
/** The settings as they are typed. */
export const writeTexts = signal(mapKeys((key) => String(START[key])));
/** undefined: invalid. */
const writeValues = computed(() => mapKeys((key) => readNumber(writeTexts.value[key], WRITE_RANGES[key])));
/** The settings that apply. */
export const writeKeys = computed(() =>
  WRITE_KEYS.filter((key) => writeValues.value.temperature !== 0 || !OF_SAMPLING.includes(key)),
);

function mapKeys<T>(map: (key: WriteKey) => T): Readonly<Record<WriteKey, T>> {
  return Object.fromEntries(WRITE_KEYS.map((key) => [key, map(key)])) as Record<WriteKey, T>;
}

/** Whether the model has a chat template. */
export const hasChat = computed(
  () => model.value?.hasChat === true && (writer.value === null || writer.value.model === model.value.name),
);
/** Whether the models answer. What an adapter has learned from texts is not to answer. */
export const isChat = {
  get value(): boolean {
    return hasChat.value && (chatChoice.value ?? writer.value?.record.chat ?? writer.value === null);
  },
  set value(chosen) {
    chatChoice.value = chosen;
  },
};
export const canWrite = computed(
  () =>
    (writer.value !== null || model.value !== null) &&
    writeKeys.value.every((key) => writeValues.value[key] !== undefined),
);

/** The text after a prompt. */
export interface Written {
  prompt: string;
  text: string;
  /** Tokens at its beginning that no longer fit the model's context. */
  forgotten: number;
  finish: GenerationChunk["finish"] | null;
}

/** What one model writes: the base model has no adapter. */
export interface Column {
  adapter: string | null;
  /** Whether the texts are answers. */
  isChat: boolean;
  texts: readonly Written[];
}

export const isWriting = signal(false);
export const writeError = signal<ErrorReport | null>(null);
/** What writes: the id of the shown run, else the name of the base model. */
const author = computed(() => writer.value?.id ?? model.value?.name ?? null);
const latest = signal<{ author: string | null; columns: readonly Column[]; status: string }>({
  ...{ author: null, columns: [], status: "" },
});
/** What another run or base model has written is not shown. */
const shown = computed(() => (latest.value.author === author.value ? latest.value : null));
export const columns = computed(() => shown.value?.columns ?? []);
export const writeStatus = computed(() => (isWriting.value ? "Writing …" : (shown.value?.status ?? "")));

/** The column that is written, and the tokens of all so far. */
let [current, tokens] = [0, 0];

worker.listen((event) => {
  if (event.type !== "written") return;
  const { prompt, text, ids, finish, forgotten } = event.chunk;
  tokens += ids.length;
  const added = (one: Written): Written => ({
    prompt: one.prompt,
    text: one.text + text,
    forgotten: forgotten ?? one.forgotten,
    finish: finish ?? one.finish,
  });
  const { columns } = latest.value;
  const written = (column: Column): Column => ({
    ...column,
    texts: column.texts.map((one, i) => (i === prompt ? added(one) : one)),
  });
  latest.value = { ...latest.value, columns: columns.map((column, i) => (i === current ? written(column) : column)) };
});

function makeRequest(): Omit<WriteRequest, "adapter"> {
  const lines = prompt.value.replace(/\n$/, "").split("\n");
  const stop = stops.value.split("\n").filter((line) => line !== "");
  return {
    model: writer.value?.model ?? model.value?.name ?? "",
    device: values.value.device,
    prompts: byLine.value ? lines : [prompt.value],
    options: {
      ...Object.fromEntries(writeKeys.value.map((key) => [key, writeValues.value[key]])),
      ...(isChat.value ? { chat: true } : {}),
      stop: stop.map((line) => line.replaceAll("\\n", "\n")),
    },
  };
}

/** The base model writes first, then the fine-tuned one. */
export async function write(): Promise<void> {
  if (isWriting.value) return;
  const request = makeRequest();
  const run = writer.value?.id ?? null;
  const texts = request.prompts.map((prompt) => ({ prompt, text: "", forgotten: 0, finish: null }));
  const adapters = run === null ? [null] : [null, run];
  latest.value = {
    author: author.value,
    columns: adapters.map((adapter) => ({ adapter, isChat: request.options.chat === true, texts })),
    status: "",
  };
  [current, tokens] = [0, 0];
  writeError.value = null;
  isWriting.value = true;
  try {
    let [seconds, stopped, replaced] = [0, false, ""];
    for (const [i, adapter] of adapters.entries()) {
      current = i;
      const report = await worker.write({ ...request, adapter });
      seconds += report.seconds;
      stopped = report.stopped;
      replaced = describeReplaced(report.device) ?? "";
      if (stopped) break;
    }
    const speed = seconds > 0 ? `, ${(tokens / seconds).toFixed(0)} per second` : "";
    const status = `${stopped ? "Stopped" : "Done"}: ${formatCount(tokens)} tokens${speed}. ${replaced}`.trim();
    latest.value = { ...latest.value, status };
  } catch (error) {
    writeError.value = failureReport(error);
  } finally {
    isWriting.value = false;
  }
}

/** Loads the adapter of a language model, and shows it. */
export function loadWriter(files: readonly File[]): void {
  if (files.length === 0) return;
  const loading = worker.load([...files], model.value?.name ?? "gpt2-micro", { writes: true });
  attempt(
    loading.then(open).then(() => goTo("write")),
    writeError,
  );
}
