/** The list of the runs stored in this browser: show, plot, download, pin, rename, delete. */
import { type Signal, useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { percent } from "../../../format.ts";
import { describeMethod } from "../../../methods/index.ts";
import { fileName } from "../../../run/record.ts";
import { nameMetric, runMetric } from "../../../views/metric.ts";
import { hasAdapter, hasFiles, isUnderWay, type PageRun } from "../../protocol.ts";
import { goTo, usePart } from "../state/attention.ts";
import { BUNDLED, model } from "../state/model.ts";
import { offerFile } from "../state/offer.ts";
import {
  change,
  deleted,
  forget,
  freeDeleted,
  load,
  look,
  plot,
  plotted,
  runs,
  runsError,
  shown,
  takeBack,
} from "../state/runs.ts";
import { download } from "../state/take.ts";
import { attempt } from "../state/worker.ts";
import { runData, runName, runTitle, STATES, when } from "../words.ts";
import { ScrollArea } from "./common.tsx";
import { ErrorPlace } from "./error.tsx";

const HEADER = ["Chart", "Run", "State", "Result", "Download", "Change"];

export function RunsCard() {
  const title = usePart<HTMLHeadingElement>("runs");
  const exportAll = async () => {
    const { runsCsv } = await import("../runs-csv.ts");
    offerFile(new Blob([runsCsv(runs.value)], { type: "text/csv" }), "lowrank-runs.csv");
  };
  const take = ({ currentTarget }: { currentTarget: HTMLInputElement }) => {
    load([...(currentTarget.files ?? [])], model.value?.name ?? BUNDLED);
    currentTarget.value = "";
  };
  return (
    <section id="runs" class="card" aria-labelledby="runs-title">
      <div class="row">
        <h2 id="runs-title" ref={title} class="grow" tabIndex={-1}>
          Runs
        </h2>
        <button id="runs-export" type="button" hidden={runs.value.length === 0} onClick={exportAll}>
          Export as CSV
        </button>
        <label class="button" for="adapter-files">
          Open a run or an adapter
        </label>
        <input
          id="adapter-files"
          class="hidden-input"
          type="file"
          multiple
          accept=".zip,.json,.safetensors"
          onChange={take}
        />
      </div>
      <ErrorPlace id="runs-error" report={runsError.value} />
      <div id="runs-undo" class="row">
        {deleted.value && <Undo key={deleted.value.id} run={deleted.value} />}
      </div>
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

/** Has the focus, because the row with the button is gone. When it goes, the focus moves to the card's title. */
function Undo({ run }: { run: PageRun }) {
  const place = useRef<HTMLSpanElement>(null);
  useLayoutEffect(() => {
    const span = place.current!;
    span.querySelector("button")!.focus();
    return () => {
      if (span.contains(document.activeElement)) goTo("runs");
    };
  }, []);
  return (
    <span ref={place} class="row">
      <p role="status">Deleted: {nameOrTitle(run)}.</p>
      <button type="button" onClick={takeBack}>
        Undo
      </button>
      <button type="button" onClick={freeDeleted}>
        Free its space now
      </button>
    </span>
  );
}

function RunsTable() {
  const body = useRef<HTMLTableSectionElement>(null);
  // A row that moves loses the focus.
  const focused = document.activeElement as HTMLElement | null;
  useLayoutEffect(() => {
    if (focused !== document.activeElement && body.current!.contains(focused)) focused!.focus();
  });
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
        <tbody ref={body}>{listed(runs.value).flatMap(rows)}</tbody>
      </table>
    </ScrollArea>
  );
}

/** A run's row; above it that of its comparison, if it is the first of it. */
function rows(run: PageRun, i: number, all: readonly PageRun[]) {
  const row = <RunRow key={run.id} run={run} />;
  const { comparison, pinned, record, model } = run;
  const above = all[i - 1];
  if (comparison === undefined || pinned || (above?.comparison === comparison && !above.pinned)) return [row];
  const text = `Comparison of methods: ${runData(run)}, ${model}, ${when(record.created)}`;
  return [
    <tr key={`comparison ${comparison}`} class="group">
      <th scope="rowgroup" colSpan={HEADER.length}>
        {text}
      </th>
    </tr>,
    row,
  ];
}

/** The list's order: pinned ones, then by time; the runs of a comparison stay together in the order of methods. */
function listed(runs: readonly PageRun[]): PageRun[] {
  const newest = new Map<string, number>();
  const key = ({ id, comparison }: PageRun) => comparison ?? id;
  for (const run of runs) newest.set(key(run), Math.max(run.record.created, newest.get(key(run)) ?? 0));
  return [...runs].sort(
    (a, b) =>
      Number(b.pinned === true) - Number(a.pinned === true) ||
      newest.get(key(b))! - newest.get(key(a))! ||
      (key(a) === key(b) ? a.record.created - b.record.created : key(a) < key(b) ? -1 : 1),
  );
}

/** Whether a run's name is being edited, or the field was left by a key. */
type Naming = "no" | "open" | "left";

function RunRow({ run }: { run: PageRun }) {
  const naming = useSignal<Naming>("no");
  const { id, record, pinned, state } = run;
  const isShown = id === shown.value?.id;
  const title = nameOrTitle(run);
  const name = `${title}, ${when(record.created)}`;
  const button = (text: string, words: string, take: () => void, isPressed?: boolean) => (
    <button type="button" aria-label={`${words}: ${name}`} aria-pressed={isPressed} onClick={take}>
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
          disabled={isShown || record.evaluations.length === 0}
          onInput={(event) => plot(run, event.currentTarget.checked)}
        />
      </td>
      <th scope="row">
        {naming.value === "open" ? (
          <NameField run={run} naming={naming} />
        ) : (
          <Title run={run} hasFocus={naming.value === "left"} />
        )}
      </th>
      <td>{STATES[state]}</td>
      <td>
        <Result run={run} />
      </td>
      <td>
        <span class="row">
          {hasAdapter(run) && button("Adapter", "Download the adapter", () => save("adapter"))}
          {hasFiles(run) && button("Files", "Download all files", () => save("run"))}
        </span>
      </td>
      <td>
        <span class="row">
          {button("Pin", "Pin to the top", () => change(run, { pinned: !pinned }), pinned === true)}
          {button("Rename", "Rename", () => {
            naming.value = "open";
          })}
          {!isUnderWay(run) && state !== "elsewhere" && button("Delete", "Delete", () => forget(run))}
        </span>
      </td>
    </tr>
  );
}

function Title({ run, hasFocus }: { run: PageRun; hasFocus: boolean }) {
  const title = useRef<HTMLButtonElement>(null);
  useLayoutEffect(() => {
    if (hasFocus) title.current!.focus();
  }, []);
  return (
    <>
      <button ref={title} type="button" class="link" onClick={() => look(run)}>
        {nameOrTitle(run)}
      </button>
      <small>{describeRun(run)}</small>
    </>
  );
}

/** A field for a run's name. Enter and blur save it, Escape does not; empty: the method. */
function NameField({ run, naming }: { run: PageRun; naming: Signal<Naming> }) {
  const field = useRef<HTMLInputElement>(null);
  useLayoutEffect(() => field.current!.select(), []);
  const close = (how: Naming, name = runName(run)) => {
    // The field loses the focus again when it is removed.
    if (naming.value !== "open") return;
    naming.value = how;
    if (name !== runName(run)) change(run, { name: name === describeMethod(run.record.options) ? "" : name });
  };
  const take = (event: KeyboardEvent & { currentTarget: HTMLInputElement }) => {
    if (event.key !== "Enter" && event.key !== "Escape") return;
    // Enter would also press the button that gets the focus.
    event.preventDefault();
    if (event.key === "Enter") close("left", event.currentTarget.value.trim());
    else close("left");
  };
  return (
    <input
      ref={field}
      type="text"
      defaultValue={runName(run)}
      aria-label={`Name of ${runName(run)}`}
      onBlur={(event) => close("no", event.currentTarget.value.trim())}
      onKeyDown={take}
    />
  );
}

function Result({ run: { record } }: { run: PageRun }) {
  const { results, evaluations, unequal, objective } = record;
  const best = results?.after.test ?? evaluations.at(-1)?.val;
  if (!best) return null;
  const metric = runMetric(record);
  return (
    <>
      {metric.show(metric.of(best))}
      {objective !== "classification" && <small>{nameMetric(metric)}</small>}
      {unequal && <small>macro F1 {percent(best.macroF1!)}</small>}
      {!results && <small>validation</small>}
    </>
  );
}

/** The visitor's name for a run, or its data and method. */
const nameOrTitle = (run: PageRun) => run.name || runTitle(run);

/** The model and settings of a run, and what its title does not name. */
function describeRun(run: PageRun): string {
  const { name, model, state, record } = run;
  const { options, settings, created } = record;
  const { epochs, lr } = options;
  const from = settings.adapter === undefined ? [] : [`from ${fileName(settings.adapter)}`];
  const speed = state === "loaded" ? [] : [`${epochs} ${epochs === 1 ? "epoch" : "epochs"}`, `lr ${lr}`];
  const title = name ? [describeMethod(options), runData(run)] : [];
  return [...title, model, ...from, ...speed, when(created)].join(", ");
}
