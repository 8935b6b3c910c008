/** The shown run: its progress, its controls, its curves and its numbers. */
import { signal } from "@preact/signals";
import type { RefObject } from "preact";
import { useRef } from "preact/hooks";
import { describeDevice, describeReplaced } from "../../../backend/backend.ts";
import { capital, formatCount, formatDuration, formatLoss } from "../../../format.ts";
import { describeMethod } from "../../../methods/training.ts";
import { formatBytes } from "../../../plan/memory.ts";
import type { Speed } from "../../../run/live-run.ts";
import { hasHead, hasLabels } from "../../../tasks/index.ts";
import { WORDS } from "../../../tasks/words.ts";
import { ChartFigure } from "../../../views/charts/figure.tsx";
import { TableView } from "../../../views/components.tsx";
import { describeMeasured, judgedBy, nameMeasure, showMeasure, shownMeasures } from "../../../views/measures.ts";
import { runCharts, SMOOTHING } from "../../../views/run-charts.ts";
import { evaluationsTable } from "../../../views/run-tables.ts";
import { headline, nothingLearned } from "../../../views/verdicts.ts";
import type { ErrorReport, PageRun } from "../../protocol.ts";
import { pause, plotted, resume, runs, shown, speed, stop } from "../runs/runs.ts";
import { Tick } from "../shared/controls.tsx";
import { ErrorPlace, type Remedy, remedies } from "../shared/error.tsx";
import { useNextFocus } from "../shared/hooks.tsx";
import { goTo, usePart } from "../shared/scroll.ts";
import { runTitle } from "../shared/words.ts";
import { correct } from "../train/fields.ts";

/** Whether the training curves are smoothed. */
const isSmooth = signal(false);

export function RunCard() {
  const run = shown.value;
  const card = usePart<HTMLElement>("training");
  // Neither has been trained here.
  const isPlanned = run?.state === "loaded" || run?.state === "waiting";
  return (
    <section
      id="training"
      ref={card}
      class="card"
      aria-labelledby="training-title"
      tabIndex={-1}
      hidden={!run}
      data-state={run?.state}
    >
      <div class="row">
        <h2 id="training-title" class="grow">
          {run && runTitle(run)}
        </h2>
        {run && <Controls run={run} card={card} />}
      </div>
      <div class="row">
        <p id="status" class="grow" role="status">
          {run && describeStatus(run)}
        </p>
        {run && <Onwards run={run} />}
      </div>
      <progress
        id="progress"
        aria-label="Progress of the run"
        hidden={isPlanned || run?.state === "finished"}
        // A run that patience ended has fewer steps than planned.
        max={(run?.state === "finished" ? run.record.step : run?.record.steps) || 1}
        value={run?.record.step ?? 0}
      />
      <ErrorPlace id="run-error" report={run && runReport(run)} ways={run ? runRemedies(run) : []} />
      {run && !isPlanned && <Curves run={run} />}
      {run && <More run={run} />}
    </section>
  );
}

/** The buttons that apply. */
function Controls({ run, card }: { run: PageRun; card: RefObject<HTMLElement | null> }) {
  const buttons = useRef<HTMLDivElement>(null);
  useNextFocus(buttons, card);
  const isTraining = run.state === "training";
  return (
    <div id="controls" class="row" ref={buttons}>
      <button id="pause" type="button" hidden={!isTraining} onClick={pause}>
        Pause
      </button>
      <button id="resume" type="button" hidden={!canResume(run)} onClick={() => resume(run)}>
        Resume
      </button>
      <button id="stop" type="button" hidden={!isTraining} onClick={stop}>
        Stop
      </button>
    </div>
  );
}

/** What to do with a finished run. */
function Onwards({ run: { state, usable, record } }: { run: PageRun }) {
  if (state !== "finished" || !usable) return null;
  const writes = !hasHead(record);
  return (
    <button id="onwards" type="button" onClick={() => goTo(writes ? "write" : "try")}>
      {writes ? "Done: let it write" : "Done: try it"}
    </button>
  );
}

function runReport(run: PageRun): ErrorReport | null {
  const { device } = run.record;
  return run.error ?? note(run.note) ?? warning(run) ?? note(device && describeReplaced(device));
}

const note = (summary: string | null): ErrorReport | null => (summary === null ? null : { name: "note", summary });

/** That a run has learned nothing, with settings to try; null if it has learned something. */
function warning({ record }: PageRun): ErrorReport | null {
  const nothing = nothingLearned(record);
  if (!nothing) return null;
  const { text, cause, advice, set } = nothing;
  return { name: "note", summary: text, hint: `${cause}: try ${advice}`, remedy: { set } };
}

function runRemedies(run: PageRun): Remedy[] {
  const ways = remedies(runReport(run), correct);
  if (!run.error || !canResume(run)) return ways;
  const label = run.usable ? "Resume from the last checkpoint" : "Try again";
  ways.push({ label, take: () => resume(run) });
  if (run.error.name === "DeviceError" && run.record.device?.kind === "webgpu")
    ways.push({ label: "Resume on the CPU", take: () => resume(run, "wasm") });
  return ways;
}

function canResume({ state, error }: PageRun): boolean {
  return (
    state === "paused" ||
    state === "stopped" ||
    state === "interrupted" ||
    (state === "failed" && error?.name !== "TrainingError")
  );
}

/** The text of a live region: it changes with the state and with evaluations, not with steps. */
function describeStatus({ record, state, error }: PageRun): string {
  const { evaluations, step, steps } = record;
  const last = evaluations.at(-1);
  const reached =
    last && last.step > 0
      ? ` Validation ${describeMeasured(record.objective, last.val)} after ${last.epoch.toFixed(1)} epochs.`
      : "";
  switch (state) {
    case "training":
      if (!last && step === 0) return "Evaluating the model before training …";
      if (step >= steps) return "Evaluating the trained model …";
      return `Training.${reached}`;
    case "stopping":
      return "Stopping: saving the trained parameters …";
    case "paused":
      return `Paused: its state is stored, also when you close this page.${reached}`;
    case "interrupted":
      return `Interrupted${error ? "" : ": the page was closed or reloaded"}. Resume it from the last checkpoint.${reached}`;
    case "waiting":
      return "Waiting: the comparison has not begun this run.";
    case "elsewhere":
      return "Training in another tab of this page.";
    case "stopped":
      return `Stopped early.${reached}`;
    case "finished":
      return `Finished in ${formatDuration(record.seconds)}. ${headline(record)}.`;
    case "failed":
      return `Training failed.${reached}`;
    case "loaded":
      return "An adapter loaded from a file.";
  }
}

type Figure = readonly [term: string, value: string, hint?: string | undefined];

function Figures({ figures }: { figures: readonly Figure[] }) {
  return (
    <dl id="figures" class="figures">
      {figures.map(([term, value, hint]) => (
        <div key={term} title={hint}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** What is not known yet has its place while a run trains: nothing moves when it comes. Else it is left out. */
function runFigures({ record, state }: PageRun, speed: Speed | null): Figure[] {
  const { objective, evaluations, step, steps, memory, device } = record;
  const last = evaluations.at(-1);
  const recent = speed ?? last?.train;
  const measures = shownMeasures(record);
  const isTraining = state === "training";
  const figures: (readonly [term: string, value: string | false | null | undefined, hint?: string])[] = [
    ["Loss", recent && formatLoss(recent.loss), "Mean over the last 20 steps"],
    ["Validation loss", last && formatLoss(last.val.loss)],
    ...measures
      .slice(0, 1)
      .map(
        (measure) => [measure.title, recent && showMeasure(measure, recent), "Mean over the last 20 steps"] as const,
      ),
    ...measures.map(
      (measure) => [`Validation ${nameMeasure(measure)}`, last && showMeasure(measure, last.val)] as const,
    ),
    [
      `${capital(WORDS[objective].units.seen)} per second`,
      speed?.examplesPerSecond.toFixed(speed.examplesPerSecond < 10 ? 1 : 0),
    ],
    ["Time left", isTraining && speed && formatDuration(speed.secondsLeft)],
    ["Step", `${formatCount(step)} of ${formatCount(steps)}`],
    ["Memory", formatBytes(memory)],
    ["Device", device && describeDevice(device)],
  ];
  return figures.flatMap(([term, value, hint]) =>
    value ? [[term, value, hint]] : isTraining ? [[term, "–", hint]] : [],
  );
}

/** With more, their number is shown. */
const NAMED_CLASSES = 6;

function loadedFigures({ model, record }: PageRun): Figure[] {
  const { trainable, labels } = record;
  const names = labels.length > NAMED_CLASSES ? formatCount(labels.length) : labels.join(", ");
  return [
    ["Trained parameters", formatCount(trainable)],
    ...(hasLabels(record) ? [["Labels", names] as const] : []),
    ["Base model", model],
  ];
}

/** The curves of the run and of those that are plotted with it. */
function Curves({ run }: { run: PageRun }) {
  const { objective } = run.record;
  const others = runs.value.filter(({ id, record }) => plotted.value.has(id) && record.objective === objective);
  const all = [run, ...others];
  const charts = runCharts(
    all.map(({ record }) => record),
    { smooth: isSmooth.value, names: all.map((one) => `${describeMethod(one.record.options)} (${clock(one)})`) },
  );
  return (
    <>
      <div id="charts" class="charts">
        {charts.map(({ name, chart, description }) => (
          <figure key={name} id={name}>
            <ChartFigure chart={chart} description={description} />
          </figure>
        ))}
      </div>
      <p id="metric-help" class="help">
        {judgedBy(run.record).help}
      </p>
    </>
  );
}

/** When a run began: "19:12" */
const clock = ({ record }: PageRun) =>
  new Date(record.created).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

/** Below the curves. The figures of a finished run are for those who ask: what can be done with it comes first. */
function More({ run }: { run: PageRun }) {
  const { state, record } = run;
  const figures = <Figures figures={state === "loaded" ? loadedFigures(run) : runFigures(run, speed.value)} />;
  const isFinished = state === "finished";
  return (
    <>
      {!isFinished && figures}
      {state !== "loaded" && state !== "waiting" && (
        <details id="curve-table">
          <summary>{isFinished ? "Figures and evaluations" : "Evaluations"}</summary>
          {isFinished && figures}
          {record.evaluations.length > 0 && <TableView table={evaluationsTable(record)} />}
          <Tick text={`Smooth the training curves: exponential moving average, ${SMOOTHING}`} on={isSmooth} />
        </details>
      )}
    </>
  );
}
