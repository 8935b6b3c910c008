/** How a run is or was trained: its curves, its figures and its evaluations. */
import { signal } from "@preact/signals";
import { describeDevice } from "../../../backend/backend.ts";
import { capital, formatCount, formatDuration, formatLoss } from "../../../core/format.ts";
import { describeMethod } from "../../../methods/training.ts";
import { formatBytes } from "../../../plan/memory.ts";
import { hasLabels } from "../../../tasks/index.ts";
import { WORDS } from "../../../tasks/words.ts";
import type { Speed } from "../../../train/records.ts";
import { ChartFigure } from "../../../views/charts/figure.tsx";
import { TableView } from "../../../views/components.tsx";
import { judgedBy, nameMeasure, showMeasure, shownMeasures } from "../../../views/measures.ts";
import { type RunChart, runCharts, SMOOTHING } from "../../../views/run-charts.ts";
import { evaluationsTable } from "../../../views/run-tables.ts";
import type { PageRun } from "../../protocol.ts";
import { plotted, runs, speed } from "../runs/runs.ts";
import { Tick } from "../shared/controls.tsx";

/** Whether the training curves are smoothed. */
const isSmooth = signal(false);

/** The curves of a run and of those that are plotted with it: what runs are judged by is last. */
export function curvesOf(run: PageRun): RunChart[] {
  const { objective } = run.record;
  const others = runs.value.filter(({ id, record }) => plotted.value.has(id) && record.objective === objective);
  const all = [run, ...others];
  return runCharts(
    all.map(({ record }) => record),
    { smooth: isSmooth.value, names: all.map((shown) => `${describeMethod(shown.record.options)} (${clock(shown)})`) },
  );
}

/** When a run began: "19:12" */
const clock = ({ record }: PageRun) =>
  new Date(record.created).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" });

export function Curve({ curve: { name, chart, description } }: { curve: RunChart }) {
  return (
    <figure id={name}>
      <ChartFigure chart={chart} description={description} />
    </figure>
  );
}

/** These curves with all figures. */
export function Course({ run, curves }: { run: PageRun; curves: readonly RunChart[] }) {
  const { record } = run;
  return (
    <>
      <div id="charts" class="charts">
        {curves.map((curve) => (
          <Curve key={curve.name} curve={curve} />
        ))}
      </div>
      <p id="metric-help" class="help">
        {judgedBy(record).help}
      </p>
      <Figures figures={runFigures(run, speed.value)} />
      <div id="curve-table">
        {record.evaluations.length > 0 && <TableView table={evaluationsTable(record)} />}
        <Tick text={`Smooth the training curves: exponential moving average, ${SMOOTHING}`} on={isSmooth} />
      </div>
    </>
  );
}

type Figure = readonly [term: string, value: string, hint?: string | undefined];

export function Figures({ figures }: { figures: readonly Figure[] }) {
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
    ["Time", formatDuration(record.seconds)],
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

export function loadedFigures({ model, record }: PageRun): Figure[] {
  const { trainable, labels } = record;
  const names = labels.length > NAMED_CLASSES ? formatCount(labels.length) : labels.join(", ");
  return [
    ["Trained parameters", formatCount(trainable)],
    ...(hasLabels(record) ? [["Labels", names] as const] : []),
    ["Base model", model],
  ];
}
