/** The choice of the data, bundled, typed, from files or from the Hugging Face Hub, and its statistics. */
import { useEffect, useRef } from "preact/hooks";
import { percent } from "../../../core/format.ts";
import { joinPair } from "../../../core/pair.ts";
import { ENDINGS } from "../../../data/table/dialect.ts";
import { OBJECTIVES, type Objective } from "../../../tasks/index.ts";
import { WORDS } from "../../../tasks/words.ts";
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks } from "../../../views/components.tsx";
import type { ErrorReport } from "../../protocol.ts";
import { Choices, Select, Step } from "../shared/controls.tsx";
import { ErrorPlace, readings } from "../shared/error.tsx";
import { goTo, usePart } from "../shared/scroll.ts";
import { inPageWords } from "../shared/words.ts";
import {
  areOwn,
  areTexts,
  dataError,
  isLm,
  messages,
  objective,
  readAs,
  readShare,
  readWith,
  report,
  sheets,
  stopReading,
  tab,
  writeInstead,
} from "./data.ts";
import { acceptDrops } from "./drops.ts";
import { Examples } from "./examples-part.tsx";
import { DatasetField, EncodingField, FileField } from "./file-fields.tsx";
import { Notes } from "./notes-part.tsx";
import { back, beginReview, changed, DROP, isReviewing, review, reviewError, say, useCorrections } from "./review.ts";
import { TablePart } from "./table-part.tsx";
import { Texts } from "./texts-part.tsx";

const TABS = { classification: "Sort messages", lm: "Write text" };

export function DataCard() {
  const place = usePart<HTMLDivElement>("data-error", "nearest");
  useEffect(acceptDrops, []);
  const error = dataError.value;
  // Of what is no table nothing more is known.
  const read = areTexts.value || (error && !report.value?.columns.length) ? null : report.value;
  return (
    <section id="data" class="card" aria-labelledby="data-title">
      <h2 id="data-title">
        <Step number={1} done={read !== null && !error} /> Data
      </h2>
      <Choices name="objective" kind="tabs" label="What the model learns" options={TABS} chosen={tab} />
      {isLm.value ? <Texts /> : <Messages />}
      <Reading />
      <ErrorPlace id="data-error" report={error} ways={error ? waysOut(error) : []} place={place} />
      {read && read.columns.length > 0 && (
        <div class="own">
          <p class="help">The first rows. The model reads the text and learns to say the label.</p>
          <TablePart {...read} />
        </div>
      )}
      {areOwn.value && report.value && !areTexts.value && <LabelsField />}
      {areOwn.value && read && <Notes problems={read.problems} />}
      {read && messages.source.value === messages.own && read.labels.length > 1 && <ReviewPlace />}
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

function waysOut(error: ErrorReport) {
  if (areTexts.value) return [{ label: "Learn to write from it", take: writeInstead }];
  const read = (encoding: string) => {
    readAs({ encoding });
    // The button is gone afterwards.
    goTo("encoding");
  };
  return readings(error, read);
}

/** The labels that look wrong, when they are asked for. */
function ReviewPlace() {
  return (
    <>
      {review.value === null && (
        <div class="row">
          <button id="review-begin" type="button" disabled={isReviewing.value} onClick={beginReview}>
            {isReviewing.value ? "Looking for wrong labels …" : "Look for wrong labels"}
          </button>
        </div>
      )}
      <ErrorPlace id="review-error" report={reviewError.value} />
      {review.value && <Review />}
    </>
  );
}

/** How much of a large file was read. */
function Reading() {
  const share = readShare.value;
  if (share === null) return null;
  return (
    <div class="row">
      <progress value={share} aria-label="Reading the file" />
      <p class="help">{share < 1 ? `Reading the file, ${percent(share, 0)}` : "Comparing its rows …"}</p>
      <button type="button" onClick={stopReading}>
        Stop
      </button>
    </div>
  );
}

const SOURCES = {
  spam: "Spam or ham?",
  languages: "Language?",
  examples: "Own examples",
  file: "Own file",
  hub: "Hugging Face",
};

const FILE = {
  label: "Choose a CSV, Excel or JSON file",
  help: "or drop it here: a table with a column of texts, or two for pairs, and one of labels. For tags of words, a word a line with its tag behind it.",
  accept: [...ENDINGS, ".conll", ".bio", ".iob"].join(),
};

function Messages() {
  const { source } = messages;
  return (
    <div id="messages">
      <Choices name="source" kind="choice" options={SOURCES} chosen={source} />
      {source.value === "examples" && <Examples />}
      {source.value === "hub" && <DatasetField id="dataset" label="Name" choice={messages} />}
      {source.value === "file" && (
        <div class="own">
          <FileField id="file" {...FILE} choice={messages} />
          {sheets.value.length > 0 && (
            <label for="sheet">
              Sheet{" "}
              <Select
                id="sheet"
                value={readWith("sheet") ?? ""}
                take={(sheet) => readAs({ sheet })}
                options={sheets.value.map((name) => [name, name] as const)}
              />
            </label>
          )}
          <EncodingField id="encoding" label="Encoding" />
        </div>
      )}
    </div>
  );
}

function LabelsField() {
  return (
    <label for="labels-are">
      The labels are{" "}
      <Select
        id="labels-are"
        value={objective.value}
        take={(value) => readAs({ objective: value as Objective })}
        options={OBJECTIVES.flatMap((name) => (WORDS[name].choice ? [[name, WORDS[name].choice] as const] : []))}
      />
    </label>
  );
}

export function Review() {
  const [part, other] = [useRef<HTMLElement>(null), useRef<HTMLSelectElement>(null)];
  // Its keys work at once.
  const focus = () => part.current?.focus();
  useEffect(focus, []);
  const { rows, next } = review.value!;
  const row = rows[next];
  const use = (
    <button type="button" onClick={useCorrections}>
      {changed.value > 0 ? `Use ${changed.value === 1 ? "one correction" : `${changed.value} corrections`}` : "Close"}
    </button>
  );
  if (!row)
    return (
      <div id="review" class="part">
        <p>{rows.length === 0 ? "No label looks wrong." : "That was the last one."}</p>
        <div class="row">{use}</div>
      </div>
    );
  const { text, given, suggested } = row;
  const keys: Record<string, () => void> = {
    r: () => say(given),
    w: () => say(suggested),
    o: () => other.current!.focus(),
    x: () => say(DROP),
    b: back,
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const { ctrlKey, metaKey, altKey, key, target } = event;
    if (ctrlKey || metaKey || altKey || target instanceof HTMLSelectElement || !keys[key]) return;
    event.preventDefault();
    keys[key]();
  };
  return (
    // biome-ignore lint/a11y/noNoninteractiveTabindex: its keys are those of its buttons
    <section id="review" ref={part} class="part" aria-label="Labels to review" tabIndex={0} onKeyDown={onKeyDown}>
      <p class="help">
        {next + 1} of {rows.length} rows whose label looks wrong, the worst first. Row {row.row}:
      </p>
      <blockquote dir="auto">{joinPair(text)}</blockquote>
      <p>
        Its label is <b dir="auto">{given}</b>. Likelier: <b dir="auto">{suggested}</b>
      </p>
      <div class="row">
        <button type="button" onClick={keys.r}>
          Right (r)
        </button>
        <button type="button" onClick={keys.w}>
          Wrong, it is {suggested} (w)
        </button>
        <label for="review-other">
          Other (o){" "}
          <Select
            id="review-other"
            field={other}
            value=""
            take={(label) => {
              say(label);
              focus();
            }}
            options={[["", "choose"], ...report.value!.labels.map((label) => [label, label] as const)]}
          />
        </label>
        <button type="button" onClick={keys.x}>
          Leave it out (x)
        </button>
        <button type="button" disabled={next === 0} onClick={back}>
          Back (b)
        </button>
        {use}
      </div>
    </section>
  );
}
