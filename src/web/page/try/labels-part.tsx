/** Labels the lines of the typed text, or the rows of a table. */

import { ENDINGS } from "../../../data/table/dialect.ts";
import { makeTable, messageColumns, type RowColumn } from "../../../document/blocks.ts";
import { formatCount, percent } from "../../../format.ts";
import { TableView } from "../../../views/components.tsx";
import { Bar, LabelName } from "../../../views/verdict.tsx";
import type { LabelReport } from "../../protocol.ts";
import { FileButton, Select, Tick } from "../shared/controls.tsx";
import { ErrorPlace, readings } from "../shared/error.tsx";
import { offerFile } from "../shared/offer.ts";
import { worker } from "../shared/worker.ts";
import { byClassic, hasClassic, labelAgain, labelling, labelTable, lines } from "./label.ts";
import { message, pairs } from "./try.ts";

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
