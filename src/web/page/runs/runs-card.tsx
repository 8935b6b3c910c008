/** The list of the runs stored in this browser: show, plot, download, delete. */

import { takesSteps } from "../../../methods/index.ts";
import { fileName } from "../../../record/record.ts";
import type { Measure } from "../../../tasks/compare.ts";
import { ScrollArea } from "../../../views/components.tsx";
import { nameMeasure, showMeasure, shownMeasures } from "../../../views/measures.ts";
import { areSeeds, hasAdapter, hasFiles, isUnderWay, type PageRun } from "../../protocol.ts";
import { download } from "../run/take.ts";
import { FileButton } from "../shared/controls.tsx";
import { ErrorPlace } from "../shared/error.tsx";
import { usePart } from "../shared/scroll.ts";
import { megabytes, nameState, runData, runTitle, when } from "../shared/words.ts";
import { attempt } from "../shared/worker.ts";
import { BUNDLED, model } from "../train/model.ts";
import { takeSettings } from "../train/setup.ts";
import { comparedRuns, forget, load, look, plot, plotted, runs, runsError, shown, sizes } from "./runs.ts";

const HEADER = ["Chart", "Run", "State", "Result", "Take", "Delete"];

export function RunsCard() {
  const title = usePart<HTMLHeadingElement>("runs");
  return (
    <section id="runs" class="card" aria-labelledby="runs-title">
      <div class="row">
        <h2 id="runs-title" ref={title} class="grow" tabIndex={-1}>
          Runs
        </h2>
        <FileButton
          id="adapter-files"
          label="Open a run or an adapter"
          multiple
          accept=".zip,.json,.safetensors"
          take={(files) => load(files, model.value?.name ?? BUNDLED)}
        />
      </div>
      <ErrorPlace id="runs-error" report={runsError.value} />
      <div id="runs-body">
        {runs.value.length === 0 ? (
          <p class="help">Runs are stored in this browser until you delete them.</p>
        ) : (
          <RunsTable />
        )}
      </div>
    </section>
  );
}

function RunsTable() {
  return (
    <ScrollArea label="All runs">
      <table class="runs">
        <caption class="hidden">All runs, newest first</caption>
        <thead>
          <tr>
            {HEADER.map((name) => (
              <th key={name} scope="col">
                {name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>{listed(runs.value).flatMap(rows)}</tbody>
      </table>
    </ScrollArea>
  );
}

/** A run's row; above it that of its comparison, if it is the first of it. */
function rows(run: PageRun, i: number, all: readonly PageRun[]) {
  const row = <RunRow key={run.id} run={run} />;
  const { comparison, record, model } = run;
  if (comparison === undefined || all[i - 1]?.comparison === comparison) return [row];
  const what = areSeeds(comparedRuns(comparison)) ? "seeds" : "methods";
  const text = `Comparison of ${what}: ${runData(run)}, ${model}, ${when(record.created)}`;
  return [
    <tr key={`comparison ${comparison}`} class="group">
      <th scope="rowgroup" colSpan={HEADER.length}>
        {text}
      </th>
    </tr>,
    row,
  ];
}

/** By time; the runs of a comparison stay together in the order of methods. */
function listed(runs: readonly PageRun[]): PageRun[] {
  const newest = new Map<string, number>();
  const key = ({ id, comparison }: PageRun) => comparison ?? id;
  for (const run of runs) newest.set(key(run), Math.max(run.record.created, newest.get(key(run)) ?? 0));
  return [...runs].sort(
    (a, b) =>
      newest.get(key(b))! - newest.get(key(a))! ||
      (key(a) === key(b) ? a.record.created - b.record.created : key(a) < key(b) ? -1 : 1),
  );
}

function RunRow({ run }: { run: PageRun }) {
  const { id, record, state } = run;
  const isShown = id === shown.value?.id;
  const name = `${runTitle(run)}, ${when(record.created)}`;
  const button = (text: string, words: string, take: () => void) => (
    <button type="button" aria-label={`${words}: ${name}`} onClick={take}>
      {text}
    </button>
  );
  const save = (what: "adapter" | "run") => attempt(download(run, what), runsError);
  return (
    <tr aria-current={isShown ? "true" : undefined}>
      <td>
        <input
          type="checkbox"
          aria-label={`Plot ${name}`}
          checked={isShown || plotted.value.has(id)}
          disabled={isShown || (record.evaluations.length === 0 && record.step === 0)}
          onInput={(event) => plot(run, event.currentTarget.checked)}
        />
      </td>
      <th scope="row">
        <button type="button" class="link" onClick={() => look(run)}>
          {runTitle(run)}
        </button>
        <small>{describeRow(run)}</small>
      </th>
      <td>{nameState(state)}</td>
      <td>
        <Result run={run} />
      </td>
      <td>
        <span class="row">
          {hasAdapter(run) && button("Adapter", "Download the adapter", () => save("adapter"))}
          {hasFiles(run) && button("Files", "Download all files", () => save("run"))}
          {state !== "loaded" && button("Settings", "Use the settings of", () => takeSettings(run))}
        </span>
      </td>
      <td>
        {!isUnderWay(run) &&
          state !== "elsewhere" &&
          button("Delete", "Delete", () => confirm(`Delete ${name}?`) && forget(run))}
      </td>
    </tr>
  );
}

function Result({ run: { record } }: { run: PageRun }) {
  const { results, evaluations } = record;
  const best = results?.after.test ?? evaluations.at(-1)?.val;
  if (!best) return null;
  const [main, other] = shownMeasures(record) as [Measure, Measure?];
  return (
    <>
      {showMeasure(main, best)}
      <small>{nameMeasure(main)}</small>
      {other && (
        <small>
          {nameMeasure(other)} {showMeasure(other, best)}
        </small>
      )}
      {!results && <small>validation</small>}
    </>
  );
}

/** The model and settings of a run. */
function describeRow({ id, model, state, comparison, record }: PageRun): string {
  const { options, settings, created } = record;
  const { epochs, lr } = options;
  const from = settings.adapter === undefined ? [] : [`from ${fileName(settings.adapter)}`];
  const speed =
    state === "loaded" || !takesSteps(options.mode)
      ? []
      : [`${epochs} ${epochs === 1 ? "epoch" : "epochs"}`, `lr ${lr}`];
  const size = sizes.value[id] ? [megabytes(sizes.value[id])] : [];
  const seed = comparison !== undefined && areSeeds(comparedRuns(comparison)) ? [`seed ${options.seed}`] : [];
  return [model, ...from, ...speed, ...seed, when(created), ...size].join(", ");
}
