/** Classifies a message as it is typed, with what was trained and by its words, and shows which words count. */

import { useSignal } from "@preact/signals";
import { describeReplaced } from "../../../backend/backend.ts";
import { formatCount, percent } from "../../../core/format.ts";
import { joinPair } from "../../../core/pair.ts";
import { ENDINGS } from "../../../data/table/dialect.ts";
import { makeTable, messageColumns, type RowColumn } from "../../../document/blocks.ts";
import { describeMethod } from "../../../methods/training.ts";
import { type Answer, answerOf } from "../../../tasks/predictions.ts";
import type { Message, TestResults } from "../../../tasks/task.ts";
import { WORDS } from "../../../tasks/words.ts";
import { TableView } from "../../../views/components.tsx";
import { Words } from "../../../views/influence.tsx";
import { Bar, LabelName, VerdictView } from "../../../views/verdict.tsx";
import { hasAdapter, type LabelReport, type PageRun, type Verdict } from "../../protocol.ts";
import { bound, FileButton, Select, Step, Tick } from "../shared/controls.tsx";
import { ErrorBox, ErrorPlace, readings } from "../shared/error.tsx";
import { offerFile } from "../shared/offer.ts";
import { usePart } from "../shared/scroll.ts";
import { runOrigin } from "../shared/words.ts";
import { worker } from "../shared/worker.ts";
import { example, exampleMessages } from "./example.ts";
import { judge, showAnswer } from "./judge.tsx";
import { byClassic, hasClassic, labelAgain, labelling, labelTable, lines } from "./label.ts";
import { MessageButton, MessageList } from "./message-list.tsx";
import {
  answer,
  classifier,
  isSameText,
  message,
  pairs,
  second,
  testResults,
  toggleWord,
  trimmed,
  words,
} from "./try.ts";

/** Samples that were labelled rightly, and as many others. */
const SAMPLES = 3;
/** Characters of a sample that is read at a glance. */
const SHORT = 200;

export function TryCard({ hidden }: { hidden: boolean }) {
  const run = classifier.value;
  const field = usePart<HTMLTextAreaElement>("try");
  const isOver = useSignal(false);
  /** A table that is dropped here is labelled: elsewhere on the page it is data to train on. */
  const onDrag = (event: DragEvent) => {
    if (!event.dataTransfer?.types.includes("Files")) return;
    const [file] = event.dataTransfer.files;
    isOver.value = event.type === "dragover";
    // That is a run or an adapter, also here.
    if (file?.name.endsWith(".zip")) return;
    event.preventDefault();
    event.stopPropagation();
    if (file) void labelTable(file);
  };
  return (
    <section
      id="try"
      class={isOver.value ? "card over" : "card"}
      aria-labelledby="try-title"
      hidden={hidden}
      onDragOver={onDrag}
      onDragLeave={onDrag}
      onDrop={onDrag}
    >
      <h2 id="try-title">
        {example.value ? (
          "What you get: a model that labels messages"
        ) : (
          <>
            <Step number={3} done={answer.value !== null} /> Try it
          </>
        )}
      </h2>
      <label class={pairs.value ? "" : "hidden"} for="message">
        {pairs.value?.columns[0] ?? "Message"}
      </label>
      <textarea
        {...{ id: "message", dir: "auto", ref: field, rows: 3, placeholder: "Type a message", disabled: run === null }}
        {...bound(message)}
      />
      {pairs.value && (
        <label for="second">
          {pairs.value.columns[1]}
          <textarea id="second" dir="auto" rows={3} placeholder="Type a message" {...bound(second)} />
        </label>
      )}
      <p id="try-help" class="help">
        {example.value
          ? "A model that was trained on messages like these answers as you type. Type one, or click one below. Then train your own: data, train, try."
          : run && `Model: ${describeTested(run)}.`}
      </p>
      {!example.value && <Labels />}
      <div id="verdict" aria-live="polite">
        <Reply />
      </div>
      <div id="words">{words.value && <Words {...words.value} toggle={toggleWord} />}</div>
      {example.value ? (
        <MessageList
          id="examples-to-try"
          messages={exampleMessages.value.map(({ text, label }) => ({ text, truth: label }))}
        />
      ) : (
        <Samples />
      )}
    </section>
  );
}

/** "LoRA, rank 8, alpha 16, trained on spam" */
function describeTested(run: PageRun): string {
  const during = hasAdapter(run) ? "" : ", at its last evaluation";
  return `${describeMethod(run.record.options)}, ${runOrigin(run)}${during}`;
}

function Reply() {
  if (answer.value === null) return null;
  // The first message waits for the model.
  if (answer.value === "pending") return <p class="help">Classifying …</p>;
  const { asked, verdict, error } = answer.value;
  if (!verdict) return <ErrorBox report={error!} />;
  const tests = samples(testResults.value).map(({ text, truth }) => ({ text, truth }));
  const known = [...tests, ...exampleMessages.value.map(({ text, label }) => ({ text: trimmed(text), truth: label }))];
  return <Sides verdict={verdict} truth={known.find(({ text }) => isSameText(text, asked.text))?.truth} />;
}

/** `truth`: the message's true label, labels or score, where it is known. */
function Sides({ verdict: { adapter, classic, device }, truth }: { verdict: Verdict; truth: Answer | undefined }) {
  const side = (title: string, kind: string, verdict: Verdict["adapter"]) => {
    const [look, words] = truth === undefined ? [] : judge(truth, answerOf(verdict));
    return (
      <div class={`side ${kind}`}>
        <h3>{title}</h3>
        <VerdictView verdict={verdict}>{words && <p class={look}>{words}</p>}</VerdictView>
      </div>
    );
  };
  const replaced = describeReplaced(device);
  return (
    <>
      {side("Fine-tuned model", "learned", adapter)}
      {classic?.isUnlike && (
        <p class="note">This message is unlike those that were learned: what a model says of it means little.</p>
      )}
      {classic && side("Word counts alone (TF-IDF)", "counts", classic.says)}
      {replaced && <p class="help">{replaced}</p>}
    </>
  );
}

/** Messages of the run's test set, as buttons. */
function Samples() {
  const examples = samples(testResults.value);
  const run = classifier.value;
  return (
    <div id="samples" hidden={examples.length === 0}>
      {run && <p class="help">Or one of its test {WORDS[run.record.objective].units.many}:</p>}
      <ul>
        {examples.map(({ text, truth, predicted }) => {
          return (
            <li key={joinPair(text)}>
              <MessageButton text={text} />
              <small class={judge(truth, predicted)[0]}>
                <LabelName name={showAnswer(truth)} />,{" "}
                {showAnswer(truth) === showAnswer(predicted) ? (
                  "as predicted"
                ) : (
                  <>
                    predicted <LabelName name={showAnswer(predicted)} />
                  </>
                )}
              </small>
            </li>
          );
        })}
      </ul>
    </div>
  );
}

/** Messages that were classified correctly, and as many others that are read at a glance if there are some. */
function samples(test: TestResults | null): Message[] {
  if (!test) return [];
  const wrong = test.mistakes.filter(({ text }) => [text].flat().every((part) => part.trim() !== ""));
  const short = wrong.filter(({ text }) => joinPair(text).length <= SHORT);
  const shown = [...test.samples.slice(0, SAMPLES), ...(short.length > 0 ? short : wrong).slice(0, SAMPLES)];
  return shown.map((message) => ({ ...message, text: trimmed(message.text) }));
}

export function Labels() {
  const { source, rows = 0, total = 0, isStopped, report, error } = labelling.value ?? {};
  const isWorking = source !== undefined && !isStopped && !report && !error;
  const name = typeof source === "string" ? "the lines" : source?.name;
  const columns = error?.columns ?? report?.columns ?? [];
  return (
    <>
      <div class="row">
        {lines.value > 1 && (
          <button id="label-lines" type="button" onClick={() => labelTable(message.value)}>
            Label each of {formatCount(lines.value)} lines
          </button>
        )}
        <FileButton
          id="label-file"
          label="Label a table"
          accept={ENDINGS.join()}
          take={([file]) => file && void labelTable(file)}
        />
        <button id="label-stop" type="button" hidden={!isWorking} onClick={() => worker.stopLabelling()}>
          Stop
        </button>
        <p id="label-status" class="help" role="status">
          {isWorking && `Labelling ${name} …`}
          {isStopped && "Stopped."}
          {report && describeReport(report)}
        </p>
        {isWorking && total > 0 && (
          <p class="help">
            {formatCount(rows)} of {formatCount(total)} rows
          </p>
        )}
        {source === undefined && <p class="help">or drop it here: CSV, TSV, JSON lines or Parquet</p>}
      </div>
      {hasClassic.value && (
        <Tick id="label-classic" text="Label with the word-count model, which is much faster" on={byClassic} />
      )}
      <ErrorPlace
        id="label-error"
        report={error ?? null}
        ways={error ? readings(error, (encoding) => labelAgain({ encoding })) : []}
      />
      {columns.length > 1 && (
        <label for="table-column">
          {pairs.value ? "Columns with the texts" : "Column with the messages"}
          <Select
            id="table-column"
            value={report?.textColumn ?? ""}
            take={(textColumn) => labelAgain({ textColumn })}
            options={[
              ...(report ? [] : [["", `Choose ${pairs.value ? "two columns" : "a column"}`] as const]),
              ...textChoices(columns).map((column) => [column, column] as const),
            ]}
          />
        </label>
      )}
      {report && <Labelled report={report} />}
    </>
  );
}

function describeReport({ rows, blank }: LabelReport): string {
  const labelled = rows - blank;
  return `Done: ${formatCount(labelled)} ${labelled === 1 ? "row" : "rows"} labelled${blank ? `, ${formatCount(blank)} without a text` : ""}.`;
}

/** The columns that may have the texts; of pairs all twos, with a comma between their names. */
const textChoices = (columns: readonly string[]) =>
  pairs.value
    ? columns.flatMap((first) => columns.flatMap((second) => (first === second ? [] : `${first},${second}`)))
    : columns;

function Labelled({ report }: { report: LabelReport }) {
  const { rows, blank, labels, file, fileName } = report;
  return (
    <div id="labelled" class="part">
      <div class="row">
        <button type="button" onClick={() => offerFile(file, fileName)}>
          Save as {fileName.split(".").at(-1)!.toUpperCase()}
        </button>
        <p class="help">{fileName}: the same rows, each with what the model makes of it</p>
      </div>
      <ul class="bars" aria-label="Rows by label">
        {Object.entries(labels).map(([label, of]) => (
          <li key={label}>
            <span class="name">
              <LabelName name={label} />
            </span>
            <Bar share={of / (rows - blank || 1)} />
            <span class="n">{formatCount(of)}</span>
          </li>
        ))}
      </ul>
      <TableView table={previewTable(report)} />
    </div>
  );
}

const PROBABILITY: RowColumn<LabelReport["preview"][number]> = {
  ...({ title: "Probability", key: null } as const),
  value: ({ probability }) => probability,
  format: (share) => percent(share),
};

const previewTable = ({ rows, preview }: LabelReport) =>
  makeTable(
    "messages",
    preview.length < rows ? `The first ${preview.length} rows` : "All rows",
    [
      { title: "Label", key: null, value: ({ label }) => label },
      ...(preview.some(({ probability }) => probability !== null) ? [PROBABILITY] : []),
      ...messageColumns(pairs.value),
    ],
    preview,
  );
