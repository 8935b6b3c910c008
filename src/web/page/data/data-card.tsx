/** The choice of the data, bundled, typed, from files or from the Hugging Face Hub, and its statistics. */
import { useEffect } from "preact/hooks";
import { OBJECTIVES } from "../../../tasks/index.ts";
import { WORDS } from "../../../tasks/words.ts";
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks } from "../../../views/components.tsx";
import { Choices, HubField, Select } from "../shared/controls.tsx";
import { ErrorPlace, readings } from "../shared/error.tsx";
import { usePart } from "../shared/scroll.ts";
import { inPageWords } from "../shared/words.ts";
import {
  askHub,
  chosenColumns,
  columns,
  dataError,
  hasOwnLabels,
  isTable,
  labelsAre,
  messages,
  readAs,
  report,
  tab,
} from "./data.ts";
import { acceptDrops } from "./drops.ts";
import { Examples } from "./examples-part.tsx";
import { EncodingField, FileField } from "./file-fields.tsx";
import { Texts } from "./texts-part.tsx";

const TABS = { classification: "Sort messages", lm: "Write text" };

export function DataCard() {
  const place = usePart<HTMLDivElement>("data-error", "nearest");
  useEffect(acceptDrops, []);
  const [error, read] = [dataError.value, report.value];
  return (
    <section id="data" class="card" aria-labelledby="data-title">
      <h2 id="data-title">
        <span class="step">1</span> Data
      </h2>
      <Choices name="objective" kind="tabs" label="What the model learns" options={TABS} chosen={tab} />
      {tab.value === "lm" ? <Texts /> : <Messages />}
      <ErrorPlace id="data-error" report={error} ways={error ? readings(error, readAs) : []} place={place} />
      <div id="data-report" class="report">
        {read && <Blocks blocks={read.blocks} medium={{ ...IN_PAGE, words: inPageWords }} />}
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

const TABLE = {
  label: "Choose a CSV, Excel or JSON file",
  help: "or drop it here. It needs a text column, or two for pairs of texts, and a label column.",
  accept: ".csv,.tsv,.txt,.jsonl,.ndjson,.json,.xlsx",
};
const SENTENCES = {
  label: "Choose a CoNLL or JSON file",
  help: "or drop it here. It needs a word a line with its tag behind it, or lists of tokens and of tags.",
  accept: ".conll,.bio,.iob,.txt,.tsv,.jsonl,.ndjson,.json",
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
          <FileField id="file" {...(isTable.value ? TABLE : SENTENCES)} choice={messages} />
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
      <Select
        id="labels-are"
        value={labelsAre.value}
        take={(value) => {
          labelsAre.value = value as typeof labelsAre.value;
        }}
        options={OBJECTIVES.flatMap((one) => (WORDS[one].choice ? [[one, WORDS[one].choice] as const] : []))}
      />
    </label>
  );
}

function ColumnField(props: NonNullable<typeof columns.value> & { which: "text" | "second" | "label"; title: string }) {
  const { which, title, report, [which]: chosen } = props;
  return (
    <label for={`${which}-column`}>
      {title}{" "}
      <Select
        id={`${which}-column`}
        value={chosen || ""}
        take={(column) => {
          chosenColumns.value = { ...chosenColumns.value, [which]: column };
        }}
        options={[
          ...(!chosen || which === "second" ? [["", which === "second" ? "none" : "choose"] as const] : []),
          ...report.columns.map((name) => [name, name] as const),
        ]}
      />
    </label>
  );
}
