/** What the base model and the adapter of the shown run write, as they write it: texts, or a chat with each. */
import { computed, signal } from "@preact/signals";
import { describeReplaced } from "../../../backend/backend.ts";
import { type NumberRange, readNumber } from "../../../core/checks.ts";
import { formatCount } from "../../../core/format.ts";
import type { Message } from "../../../data/text/chat.ts";
import type { GenerationChunk } from "../../../infer/text/generation.ts";
import { SAMPLING_RANGES } from "../../../infer/text/sampling.ts";
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
/** An answer is to be right rather than surprising. */
const CHAT_START = { ...START, maxNewTokens: 200, temperature: 0.2 };
export type WriteKey = keyof typeof START;
const WRITE_KEYS = Object.keys(START) as WriteKey[];
export const WRITE_RANGES: Readonly<Record<WriteKey, NumberRange>> = {
  ...SAMPLING_RANGES,
  maxNewTokens: { min: 1, whole: true },
  seed: { min: 0, whole: true },
};
/** Settings of sampling alone. */
const OF_SAMPLING: readonly WriteKey[] = ["topK", "topP", "seed"];

export const prompt = keptText("prompt", "Everyone");
/** The visitor's next message in a chat. */
export const message = signal("");
/** Whether the prompt is a message to answer, as the visitor chose; null: as suits what writes. */
const chatChoice = signal<boolean | null>(null);
/** Whether each line is a prompt. */
export const byLine = signal(false);
/** One stop string per line. */
export const stops = signal("");
/** The settings that the visitor has typed, and all. */
const typed = signal<Partial<Record<WriteKey, string>>>({});
export const writeTexts = computed(() =>
  mapKeys((key) => typed.value[key] ?? String((isChat.value ? CHAT_START : START)[key])),
);
/** undefined: invalid. */
export const writeValues = computed(() => mapKeys((key) => readNumber(writeTexts.value[key], WRITE_RANGES[key])));
/** The settings that apply. */
export const writeKeys = computed(() =>
  WRITE_KEYS.filter((key) => writeValues.value.temperature !== 0 || !OF_SAMPLING.includes(key)),
);

export function setWriting(key: WriteKey, text: string): void {
  typed.value = { ...typed.value, [key]: text };
}

function mapKeys<T>(map: (key: WriteKey) => T): Readonly<Record<WriteKey, T>> {
  return Object.fromEntries(WRITE_KEYS.map((key) => [key, map(key)])) as Record<WriteKey, T>;
}

/** Whether what writes has a chat template: so has what learned chats. */
export const hasChat = computed(
  () =>
    writer.value?.record.chat === true ||
    (model.value?.hasChat === true && (writer.value === null || writer.value.model === model.value.name)),
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
    (!isChat.value || message.value.trim() !== "") &&
    writeKeys.value.every((key) => writeValues.value[key] !== undefined),
);

/** The text after a prompt, or the answer to a message. */
export interface Written {
  prompt: string;
  text: string;
  /** Tokens at its beginning that no longer fit the model's context. */
  forgotten: number;
  /** The oldest messages of its chat, which the model has not seen. */
  omitted: number;
  finish: GenerationChunk["finish"] | null;
}

/** A text that a model has written. */
export interface Column {
  /** Whether it is the adapter that writes, or the base model alone. */
  isAdapted: boolean;
  /** Whether the texts are the answers of a chat, one after the other. */
  isChat: boolean;
  texts: readonly Written[];
}

export const isWriting = signal(false);
export const writeError = signal<ErrorReport | null>(null);
/** The writer: the id of the shown run, else the name of the base model. */
const author = computed(() => writer.value?.id ?? model.value?.name ?? null);
const latest = signal<{ author: string | null; columns: readonly Column[]; status: string }>({
  author: null,
  columns: [],
  status: "",
});
/** What another run or base model has written is not shown. */
const shown = computed(() => (latest.value.author === author.value ? latest.value : null));
export const columns = computed(() => shown.value?.columns ?? []);
export const writeStatus = computed(() => (isWriting.value ? "Writing …" : (shown.value?.status ?? "")));

/** The texts that each column gets, its last ones, and the tokens of all so far. */
let [count, tokens] = [0, 0];

worker.listen((event) => {
  if (event.type !== "written") return;
  const { prompt, text, ids, finish, forgotten, omitted } = event.chunk;
  tokens += ids.length;
  const added = (before: Written): Written => ({
    prompt: before.prompt,
    text: before.text + text,
    forgotten: forgotten ?? before.forgotten,
    omitted: omitted ?? before.omitted,
    finish: finish ?? before.finish,
  });
  const columns = latest.value.columns.map((column, c) => {
    const at = column.texts.length + prompt - count * (c + 1);
    const isWritten = Math.floor(prompt / count) === c;
    return isWritten ? { ...column, texts: column.texts.with(at, added(column.texts[at]!)) } : column;
  });
  latest.value = { ...latest.value, columns };
});

/** The messages of a chat whose last answer is still to be written. */
const messagesOf = (texts: readonly Written[]): Message[] =>
  texts
    .flatMap(({ prompt, text }) => [
      { role: "user", content: prompt },
      { role: "assistant", content: text },
    ])
    .slice(0, -1);

/** The prompts: a text of each column, or its whole chat. */
function makeRequest(columns: readonly Column[]): WriteRequest {
  const stop = stops.value.split("\n").filter((line) => line !== "");
  return {
    model: writer.value?.model ?? model.value?.name ?? "",
    adapter: writer.value?.id ?? null,
    device: values.value.device,
    prompts: columns.flatMap(({ isAdapted, isChat, texts }) =>
      (isChat ? [messagesOf(texts)] : texts.map(({ prompt }) => prompt)).map((prompt) => ({ prompt, isAdapted })),
    ),
    options: {
      ...Object.fromEntries(writeKeys.value.map((key) => [key, writeValues.value[key]])),
      stop: stop.map((line) => line.replaceAll("\\n", "\n")),
    },
  };
}

/** The prompts that are written on; of a chat its next message. */
function takePrompts(): readonly string[] {
  if (isChat.value) return [message.value.trim()];
  return byLine.value ? prompt.value.replace(/\n$/, "").split("\n") : [prompt.value];
}

/** The base model writes, then the fine-tuned one. A chat goes on. */
export async function write(): Promise<void> {
  if (isWriting.value || !canWrite.value) return;
  const [before, said] = [columns.value, message.value];
  const added = takePrompts().map((prompt) => ({ prompt, text: "", forgotten: 0, omitted: 0, finish: null }));
  const begun = (writer.value ? [false, true] : [false]).map((isAdapted, c): Column => {
    const earlier = isChat.value && before[c]?.isChat ? before[c].texts : [];
    return { isAdapted, isChat: isChat.value, texts: [...earlier, ...added] };
  });
  const request = makeRequest(begun);
  latest.value = { author: author.value, columns: begun, status: "" };
  [count, tokens] = [added.length, 0];
  if (isChat.value) {
    message.value = "";
    // The chat grows above the field.
    goTo("write");
  }
  writeError.value = null;
  isWriting.value = true;
  try {
    const { seconds, stopped, device } = await worker.write(request);
    const speed = seconds > 0 ? `, ${(tokens / seconds).toFixed(0)} per second` : "";
    const counted = `${stopped ? "Stopped" : "Done"}: ${formatCount(tokens)} tokens${speed}.`;
    latest.value = { ...latest.value, status: `${counted} ${describeReplaced(device) ?? ""}`.trim() };
  } catch (error) {
    writeError.value = failureReport(error);
    // What was not answered can be sent again.
    if (begun[0]!.isChat) {
      latest.value = { ...latest.value, columns: before };
      message.value ||= said;
    }
  } finally {
    isWriting.value = false;
  }
}

/** Begins a chat anew. */
export function forgetChat(): void {
  latest.value = { ...latest.value, columns: [], status: "" };
  goTo("write");
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
