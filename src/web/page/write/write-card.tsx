/**
 * Text that the base model and the shown run's adapter write, side by side, as it is generated; or a chat with each.
 */
import { useLayoutEffect, useRef } from "preact/hooks";
import { describeRange } from "../../../core/checks.ts";
import { formatCount } from "../../../core/format.ts";
import { DEFAULT_BASE } from "../../../io/hf.ts";
import { describeMethod } from "../../../methods/training.ts";
import { ScrollArea } from "../../../views/components.tsx";
import { writer } from "../runs/runs.ts";
import { bound, FileButton, Step, TextField, Tick } from "../shared/controls.tsx";
import { ErrorPlace } from "../shared/error.tsx";
import { useNextFocus } from "../shared/hooks.tsx";
import { usePart } from "../shared/scroll.ts";
import { runOrigin } from "../shared/words.ts";
import { worker } from "../shared/worker.ts";
import { CHATS, findDownload, model } from "../train/model.ts";
import { ModelLink } from "../train/model-part.tsx";
import {
  byLine,
  type Column,
  canWrite,
  columns,
  forgetChat,
  hasChat,
  isChat,
  isWriting,
  loadWriter,
  message,
  prompt,
  setWriting,
  stops,
  WRITE_RANGES,
  type WriteKey,
  type Written,
  write,
  writeError,
  writeKeys,
  writeStatus,
  writeTexts,
  writeValues,
} from "./write.ts";

const WORDS: Record<WriteKey, { label: string; help?: string; why: string }> = {
  maxNewTokens: {
    label: "Maximum new tokens",
    why: "How long the text becomes at most. A token is a word or a part of one.",
  },
  temperature: {
    label: "Temperature",
    help: "0: greedy decoding",
    why: "How much chance decides. Low values take the likeliest tokens and repeat themselves; high ones surprise and lose the thread.",
  },
  topK: {
    label: "Top-k",
    help: "0: all tokens",
    why: "Only the k likeliest tokens can be drawn. Few of them keep the text plain.",
  },
  topP: {
    label: "Top-p",
    help: "1: all tokens",
    why: "Only the likeliest tokens that have this probability together can be drawn. 0.9 to 0.95 leaves out the odd ones.",
  },
  repetitionPenalty: {
    label: "Repetition penalty",
    help: "Above 1: less repetition",
    why: "Tokens that are in the text already become less likely. Far above 1 the text becomes strange.",
  },
  seed: {
    label: "Seed",
    help: "For sampling",
    why: "The start of the random numbers. The same seed and settings give the same text.",
  },
};

export function WriteCard({ hidden }: { hidden: boolean }) {
  const field = usePart<HTMLTextAreaElement>("write", isChat.value ? "nearest" : "start");
  return (
    <section id="write" class="card" aria-labelledby="write-title" hidden={hidden}>
      <h2 id="write-title">
        <Step number={3} done={columns.value.length > 0} /> Write
      </h2>
      <p id="write-help" class="help">
        {describeWriting()} <Better />
      </p>
      <form
        id="write-form"
        autocomplete="off"
        noValidate
        onSubmit={(event) => {
          event.preventDefault();
          void write();
        }}
      >
        {isChat.value && <Columns />}
        <label for="prompt">
          {isChat.value ? "Message" : "Prompt"}
          <textarea
            {...{ id: "prompt", dir: "auto", ref: field, rows: 2, "aria-describedby": "prompt-help" }}
            {...(isChat.value
              ? { ...bound(message), onKeyDown: sendByEnter, placeholder: "Type a message" }
              : bound(prompt))}
          />
        </label>
        <p id="prompt-help" class="help">
          {isChat.value
            ? "Such as a question. Enter sends it, Shift and Enter begins a new line."
            : "The beginning of the text. Without one, the model begins by itself."}
        </p>
        {hasChat.value && <Tick id="prompt-chat" text="Answer in a chat" on={isChat} />}
        <Controls />
        <ErrorPlace id="write-error" report={writeError.value} />
        {!isChat.value && <Columns />}
        <More />
      </form>
    </section>
  );
}

function sendByEnter(event: KeyboardEvent): void {
  // Enter also ends the input of a Chinese or Japanese word.
  if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
  event.preventDefault();
  void write();
}

function Columns() {
  return (
    <div id="written">
      {columns.value.map((column) => (
        <ColumnView key={column.isAdapted} column={column} isAlone={columns.value.length === 1} />
      ))}
    </div>
  );
}

function describeWriting(): string {
  const run = writer.value;
  const does = isChat.value ? "answers each message" : "continues the prompt";
  if (!run) return `${model.value?.name ?? "The model"} ${does}, as it is before training.`;
  const adapter = `the adapter (${describeMethod(run.record.options)}) ${runOrigin(run)}`;
  return `${run.model} ${does} twice, without and with ${adapter}, with the same settings and seed.`;
}

/** Of a model that was not made to write, or to chat: one that was. */
function Better() {
  const name = model.value?.name;
  const isCut = name === DEFAULT_BASE;
  if (writer.value || name === undefined || (hasChat.value && !isCut)) return null;
  return (
    <>
      {isCut && "This model is for labelling messages: it cannot write. "}
      To chat, choose <ModelLink name={CHATS} /> ({findDownload(CHATS)!.megabytes} MB).
    </>
  );
}

function Controls() {
  const row = useRef<HTMLDivElement>(null);
  useNextFocus(row);
  return (
    <div class="row" ref={row}>
      <button id="write-start" type="submit" hidden={isWriting.value} disabled={!canWrite.value}>
        {isChat.value ? "Send" : "Write"}
      </button>
      <button id="write-stop" type="button" hidden={!isWriting.value} onClick={() => worker.stopWriting()}>
        Stop
      </button>
      {columns.value[0]?.isChat && !isWriting.value && (
        <button id="chat-new" type="button" onClick={forgetChat}>
          New chat
        </button>
      )}
      <p id="write-status" class="help grow" role="status">
        {writeStatus.value}
      </p>
    </div>
  );
}

function ColumnView({ column: { isAdapted, isChat, texts }, isAlone }: { column: Column; isAlone: boolean }) {
  const area = useRef<HTMLElement>(null);
  const height = useRef(0);
  // Follows the text as long as its end is in sight.
  useLayoutEffect(() => {
    const { scrollTop, clientHeight, scrollHeight } = area.current!;
    if (scrollTop + clientHeight >= height.current - 8) area.current!.scrollTop = scrollHeight;
    height.current = scrollHeight;
  });
  const title = isAdapted ? "With the adapter" : `Base model${isAlone ? ", before training" : ""}`;
  return (
    <div class={`side ${isAdapted ? "learned" : "base"}`}>
      <h3>{title}</h3>
      <ScrollArea label={`${title}: its text`} kind="written" area={area}>
        <div class="texts">
          {texts.map((text, i) => (
            <div key={i} class="text">
              {isChat && (
                <p class="said" dir="auto">
                  <span class="hidden">You: </span>
                  {text.prompt}
                </p>
              )}
              <p class="prose" dir="auto">
                {!isChat && <span class="prompt">{text.prompt}</span>}
                {isChat ? text.text.trimStart() : text.text}
              </p>
              <small>{describeEnd(text, isChat, texts[i - 1])}</small>
            </div>
          ))}
        </div>
      </ScrollArea>
    </div>
  );
}

const ENDS = {
  length: "Maximum length reached.",
  stop: "Ended at a stop string.",
  end: "Ended by the model.",
};

function describeEnd({ forgotten, omitted, finish }: Written, isChat: boolean, before: Written | undefined): string {
  // Said once in a chat.
  const left =
    omitted > 0 && !before?.omitted
      ? "The chat is longer than the model can read at once (its context): from here on it no longer sees the oldest messages. "
      : "";
  const dropped =
    forgotten > 0 ? `Longer than the model's context: the oldest ${formatCount(forgotten)} tokens were dropped. ` : "";
  // An answer that the model has ended needs no word.
  const isEnded = finish && (finish === "length" || !isChat);
  return `${left}${dropped}${isEnded ? ENDS[finish] : ""}`;
}

function More() {
  return (
    <details id="write-more">
      <summary>More</summary>
      {!isChat.value && <Tick id="prompt-lines" text="One prompt per line" on={byLine} />}
      <div id="write-fields" class="fields">
        {writeKeys.value.map((key) => (
          <TextField
            key={key}
            id={`write-${key}`}
            {...WORDS[key]}
            range={WRITE_RANGES[key]}
            text={writeTexts.value[key]}
            change={(text) => setWriting(key, text)}
            wrong={writeValues.value[key] === undefined && `Enter ${describeRange(WRITE_RANGES[key])}.`}
          />
        ))}
      </div>
      <label for="stop-strings">
        Stop strings
        <textarea id="stop-strings" rows={2} spellcheck={false} aria-describedby="stop-help" {...bound(stops)} />
      </label>
      <p id="stop-help" class="help">
        One per line; \n is a newline. The text ends before the first match.
      </p>
      <div class="row">
        <FileButton
          id="writer-files"
          label="Load a language-model adapter"
          multiple
          accept=".zip,.json,.safetensors"
          take={loadWriter}
        />
      </div>
    </details>
  );
}
