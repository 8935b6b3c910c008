/** The choice of the data, bundled, typed, from files or from the Hugging Face Hub, and its statistics. */
import { useEffect } from "preact/hooks";
import type { MessagesObjective } from "../../../config.ts";
import { count, percent } from "../../../format.ts";
import { makeTable, messageColumns } from "../../../views/blocks.ts";
import { ScrollArea, TableView } from "../../../views/components.tsx";
import type { DataReport } from "../../protocol.ts";
import { usePart } from "../state/attention.ts";
import {
  askHub,
  chosenColumns,
  columns,
  dataError,
  hasOwnLabels,
  labelsAre,
  messages,
  readAs,
  report,
  tab,
} from "../state/data.ts";
import { acceptDrops } from "../state/drops.ts";
import { sentence } from "../words.ts";
import { Bar } from "./common.tsx";
import { ErrorPlace, readings } from "./error.tsx";
import { Examples } from "./examples.tsx";
import { Choices, EncodingField, FileField, HubField } from "./fields.tsx";
import { Notes } from "./notes.tsx";
import { Texts, TextsView } from "./texts.tsx";

const OBJECTIVES = { classification: "Sort messages", lm: "Write text" };

/** What labels can be. */
const LABELS: Record<MessagesObjective, string> = {
  classification: "classes, one a message",
  regression: "scores: numbers",
  "multi-label": "any number a message: a|b",
};

export function DataCard() {
  const place = usePart<HTMLDivElement>("data-error", "nearest");
  useEffect(acceptDrops, []);
  const [error, read] = [dataError.value, report.value];
  return (
    <section id="data" class="card" aria-labelledby="data-title">
      <h2 id="data-title">
        <span class="step">1</span> Data
      </h2>
      <Choices name="objective" kind="tabs" label="What the model learns" options={OBJECTIVES} chosen={tab} />
      {tab.value === "lm" ? <Texts /> : <Messages />}
      <ErrorPlace id="data-error" report={error} ways={error ? readings(error, readAs) : []} place={place} />
      <div id="data-report" class="report">
        {read && ("documents" in read ? <TextsView {...read} /> : <MessagesView {...read} />)}
      </div>
      <datalist id="datasets">
        <option value="ucirvine/sms_spam" />
        <option value="fancyzhx/ag_news" />
        <option value="stanfordnlp/imdb" />
      </datalist>
    </section>
  );
}

const SOURCES = {
  spam: "Spam or ham?",
  languages: "Language?",
  examples: "Own examples",
  file: "Own file",
  hub: "Hugging Face",
};

function Messages() {
  const { source, hubName } = messages;
  return (
    <div id="messages">
      <Choices name="source" kind="choice" options={SOURCES} chosen={source} />
      {source.value === "examples" && <Examples />}
      {source.value === "hub" && (
        <HubField
          id="dataset"
          label="Name"
          placeholder="owner/name or owner/name:configuration"
          list="datasets"
          name={hubName}
          take={(name) => askHub(messages, name)}
        />
      )}
      {source.value === "file" && (
        <div class="own">
          <FileField
            id="file"
            label="Choose a CSV, TSV or JSON file"
            help="or drop it here. It needs a text column, or two for pairs of texts, and a label column."
            accept=".csv,.tsv,.txt,.jsonl,.ndjson,.json"
            choice={messages}
          />
          {columns.value && (
            <div id="columns" class="pair">
              <ColumnField which="text" title="Text" {...columns.value} />
              {columns.value.report.columns.length > 2 && (
                <ColumnField which="second" title="Second text" {...columns.value} />
              )}
              <ColumnField which="label" title="Label" {...columns.value} />
            </div>
          )}
          <EncodingField id="encoding" label="Encoding" choice={messages} />
        </div>
      )}
      {hasOwnLabels.value && <LabelsField />}
    </div>
  );
}

function LabelsField() {
  return (
    <label for="labels-are">
      The labels are{" "}
      <select
        id="labels-are"
        value={labelsAre.value}
        onInput={({ currentTarget }) => {
          labelsAre.value = currentTarget.value as MessagesObjective;
        }}
      >
        {Object.entries(LABELS).map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
}

function ColumnField(props: NonNullable<typeof columns.value> & { which: "text" | "second" | "label"; title: string }) {
  const { which, title, report, [which]: chosen } = props;
  return (
    <label for={`${which}-column`}>
      {title}{" "}
      <select
        id={`${which}-column`}
        value={chosen || ""}
        onInput={({ currentTarget }) => {
          chosenColumns.value = { ...chosenColumns.value, [which]: currentTarget.value };
        }}
      >
        {(!chosen || which === "second") && <option value="">{which === "second" ? "none" : "choose"}</option>}
        {report.columns.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function MessagesView(report: DataReport) {
  const { rowsRead, stats, classes, lengths, notes } = report;
  const sets = [stats.train, stats.val, stats.test];
  const used = sets.reduce((sum, set) => sum + set.rows, 0);
  const longest = Math.max(...sets.map(({ max }) => max));
  return (
    <>
      <p class="lead">
        {count(rowsRead)} messages{used < rowsRead && `, ${count(used)} used`}: {count(stats.train.rows)} to train,{" "}
        {count(stats.val.rows)} to validate, {count(stats.test.rows)} to test.
      </p>
      <Balance classes={classes} rows={rowsRead} />
      <Notes notes={notes} />
      <Problems {...report} />
      <details>
        <summary>Look at the messages</summary>
        <Histogram bins={lengths} words={`Length in tokens: median ${stats.train.median}, maximum ${longest}.`} />
        <TableView table={messageTable(report)} />
      </details>
    </>
  );
}

const messageTable = ({ preview, pairs }: DataReport) =>
  makeTable(
    "messages",
    "The first messages of the training set",
    [{ title: "Label", key: null, value: ({ label }) => label }, ...messageColumns(pairs)],
    preview,
  );

/** Skipped rows that are shown at once. */
const PROBLEMS = 3;

function Problems({ problems, problemCount }: DataReport) {
  if (problemCount === 0) return null;
  const list = (some: typeof problems) => (
    <ul class="notes">
      {some.map(({ line, text }) => (
        <li key={line}>
          Line {line}: {text}
        </li>
      ))}
    </ul>
  );
  const hints = new Set(problems.flatMap(({ hint = [] }) => hint));
  return (
    <div class="error mild">
      <p class="summary">
        {problemCount === 1 ? "1 invalid row was" : `${count(problemCount)} invalid rows were`} skipped
      </p>
      {list(problems.slice(0, PROBLEMS))}
      {[...hints].map((hint) => (
        <p key={hint}>{sentence(hint)}</p>
      ))}
      {problems.length > PROBLEMS && (
        <details>
          <summary>{problems.length < problemCount ? `First ${problems.length}` : `All ${problems.length}`}</summary>
          <ScrollArea label="Skipped rows" kind="tall">
            {list(problems)}
          </ScrollArea>
        </details>
      )}
    </div>
  );
}

/** Maximum number of classes shown: a wrong label column can have thousands. */
const CLASSES = 8;

function Balance({ classes, rows }: { classes: Record<string, number>; rows: number }) {
  const entries = Object.entries(classes);
  const largest = entries.reduce((most, [, n]) => Math.max(most, n), 0);
  return (
    <div class="bars">
      {entries.slice(0, CLASSES).map(([name, n]) => (
        <div key={name}>
          <span class="name">{name}</span>
          <Bar share={n / largest} />
          <span class="n">
            {count(n)} ({percent(n / rows, 0)})
          </span>
        </div>
      ))}
      {entries.length > CLASSES && <p class="help">and {entries.length - CLASSES} more classes</p>}
    </div>
  );
}

function Histogram({ bins, words }: { bins: DataReport["lengths"]; words: string }) {
  const top = Math.max(...bins.map(({ rows }) => rows));
  const width = 100 / bins.length;
  return (
    <figure class="lengths">
      <svg viewBox="0 0 100 30" preserveAspectRatio="none" aria-hidden="true" class="histogram">
        {bins.map(({ from, rows }, i) => {
          const height = (rows / top) * 29;
          return <rect key={from} x={i * width} y={30 - height} width={width * 0.85} height={height} />;
        })}
      </svg>
      <figcaption>{words}</figcaption>
    </figure>
  );
}
