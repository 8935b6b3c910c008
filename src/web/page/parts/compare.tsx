/** Compares methods: starts the runs of a comparison, and shows their table, their chart and their results. */
import { useSignal } from "@preact/signals";
import { useLayoutEffect, useRef } from "preact/hooks";
import { MODES, type Mode } from "../../../config.ts";
import { compact, count, list, percent, showDuration } from "../../../format.ts";
import { showBytes } from "../../../plan/memory.ts";
import type { RunRecord } from "../../../run/record.ts";
import type { Interval } from "../../../statistics.ts";
import type { ScatterChart } from "../../../views/charts/chart.ts";
import { isUnderWay, type PageRun } from "../../protocol.ts";
import { compareRuns, describeOutcomes, type Outcome, shortName } from "../compare-results.ts";
import { objective } from "../state/data.ts";
import {
  compared,
  compareError,
  continueComparison,
  current,
  isTraining,
  startComparison,
  stop,
} from "../state/runs.ts";
import { estimate, settings } from "../state/setup.ts";
import { runData } from "../words.ts";
import { ScrollArea } from "./common.tsx";
import { ErrorPlace } from "./error.tsx";
import { STATES } from "./runs.tsx";

/** The duration of a run, measured in runs with LoRA on gpt2-micro, and that of a comparison. */
const DURATIONS: Record<Mode, number> = {
  ...{ lora: 1, all: 1.6, last_block: 0.4, last_layer: 0.3, bitfit: 1.1, adapter: 0.7, prompt: 1.4, prefix: 1 },
};
const ALL = 6.4;

const AXES: Record<string, { title: string; read: (record: RunRecord) => number; show: (value: number) => string }> = {
  trained: { title: "trained parameters", read: ({ trainable }) => trainable, show: compact },
  time: { title: "training time, with evaluation", read: ({ seconds }) => seconds, show: showDuration },
  file: { title: "adapter file", read: ({ saved }) => saved, show: showBytes },
};

const HEADER = ["Method", "Trained parameters", "Test accuracy (95 %)", "Time", "Adapter file", "Beside the best"];

export function CompareCard() {
  const runs = compared.value;
  return (
    <section
      id="compare"
      class="card"
      aria-labelledby="compare-title"
      hidden={objective.value === "lm" && runs.length === 0}
    >
      <h2 id="compare-title">Compare methods</h2>
      <p class="help">
        Trains seven methods on the chosen messages and model, each at a learning rate that suits it: LoRA at ranks 1, 4
        and 16, full fine-tuning, the last block, the head only, and the biases only (BitFit), several at the same time
        where that is faster. All are tested on the same messages.
      </p>
      <Controls />
      <ErrorPlace id="compare-error" report={compareError.value} />
      <div id="compare-result" hidden={runs.length === 0}>
        {runs.length > 0 && <Results runs={runs as [PageRun]} />}
      </div>
    </section>
  );
}

/** The run with which a comparison goes on: one that was interrupted or stopped, else the next that waits. */
function unfinished(runs: readonly PageRun[]): PageRun | undefined {
  const resumed = ["interrupted", "paused", "stopped"];
  return runs.find(({ state }) => resumed.includes(state)) ?? runs.find(({ state }) => state === "waiting");
}

function Controls() {
  const runs = compared.value;
  const active = runs.filter((run) => isUnderWay(run) || run.id === current.value?.id);
  const next = isTraining.value ? undefined : unfinished(runs);
  const offered = objective.value === "lm" || !estimate.value ? null : settings.value;
  const minutes = offered && ((ALL / DURATIONS[offered.mode ?? "lora"]) * estimate.value!.seconds) / 60;
  const about = minutes === null ? "" : ` (about ${Math.max(1, Math.round(minutes))} min)`;
  const numbers = list(active.map((run) => String(runs.indexOf(run) + 1)));
  const atOnce = active.length > 1 ? " at the same time" : "";

  const row = useRef<HTMLDivElement>(null);
  // A button that is hidden leaves the focus to the one in its place.
  useLayoutEffect(() => {
    const focused = document.activeElement as HTMLElement | null;
    if (focused?.hidden && row.current!.contains(focused))
      row.current!.querySelector<HTMLElement>("button:not([hidden], :disabled)")?.focus();
  });
  return (
    <div ref={row} class="row">
      <button
        id="compare-start"
        type="button"
        disabled={offered === null || isTraining.value}
        onClick={() => startComparison(offered!)}
      >
        Compare methods{about}
      </button>
      <button id="compare-stop" type="button" hidden={active.length === 0} onClick={stop}>
        Stop the comparison
      </button>
      <button id="compare-continue" type="button" hidden={!next} onClick={() => continueComparison(next!)}>
        Continue the comparison
      </button>
      <p id="compare-status" class="help grow" role="status">
        {active.length > 0 &&
          `Training ${numbers} of ${runs.length}${atOnce}: ${list(active.map(shortName))}. The comparison continues after a reload.`}
      </p>
    </div>
  );
}

function Results({ runs }: { runs: readonly [PageRun, ...PageRun[]] }) {
  const axis = useSignal("trained");
  const outcomes = compareRuns(runs);
  return (
    <>
      <div id="compare-table">
        <ScrollArea label="Comparison of methods">
          <table>
            <caption>
              Methods on {runData(runs[0])}, {runs[0].model}
            </caption>
            <thead>
              <tr>
                {HEADER.map((name) => (
                  <th key={name} scope="col">
                    {name}
                  </th>
                ))}
              </tr>
            </thead>
            <tbody>
              {runs.map((run, i) => (
                <Row key={run.id} run={run} number={i + 1} outcome={outcomes.find((one) => one.run === run)} />
              ))}
            </tbody>
          </table>
        </ScrollArea>
      </div>
      <figure id="compare-figure" hidden={outcomes.length === 0}>
        <figcaption>
          <span class="name">Test accuracy over</span>
          <label class="hidden" for="compare-axis">
            Horizontal axis
          </label>
          <select
            id="compare-axis"
            value={axis.value}
            onInput={(event) => {
              axis.value = event.currentTarget.value;
            }}
          >
            {Object.entries(AXES).map(([value, { title }]) => (
              <option key={value} value={value}>
                {title}
              </option>
            ))}
          </select>
          <span class="help">with 95 % intervals; the numbers are those of the table</span>
        </figcaption>
        <div id="compare-chart">
          {outcomes.length > 0 && <ChartFigure chart={comparisonChart(runs, outcomes, AXES[axis.value]!)} />}
        </div>
      </figure>
      <div id="compare-words">
        {describeOutcomes(outcomes).map((text) => (
          <p key={text} class="note">
            {text}
          </p>
        ))}
      </div>
    </>
  );
}

function Row({ run, number, outcome }: { run: PageRun; number: number; outcome: Outcome | undefined }) {
  const { record } = run;
  return (
    <tr>
      <th scope="row">
        {number} {shortName(run)}
      </th>
      <td>{count(record.trainable)}</td>
      <td>
        {outcome ? (
          <>
            {percent(outcome.accuracy)}
            <small>{between(outcome.interval)}</small>
          </>
        ) : (
          showState(run)
        )}
      </td>
      <td>{outcome && showDuration(record.seconds)}</td>
      <td>{outcome && showBytes(record.saved)}</td>
      <td>{outcome?.words}</td>
    </tr>
  );
}

/** The state of a run, and how far it is while it trains. */
function showState({ state, record: { step, steps } }: PageRun): string {
  return state === "training" ? `${STATES.training}, ${percent(step / steps, 0)}` : STATES[state];
}

const between = ({ low, high }: Interval) => `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;

function comparisonChart(
  runs: readonly PageRun[],
  outcomes: readonly Outcome[],
  { title, read, show }: (typeof AXES)[string],
): ScatterChart {
  return {
    kind: "scatter",
    title: `Test accuracy with 95 % intervals over ${title}. The table has the values.`,
    x: { title, show },
    y: { title: "test accuracy", show: percent, to: 1 },
    points: outcomes.map(({ run, accuracy, interval }) => ({
      group: run.record.options.mode,
      color: MODES.indexOf(run.record.options.mode),
      label: String(runs.indexOf(run) + 1),
      name: shortName(run),
      x: read(run.record),
      y: accuracy,
      interval,
    })),
  };
}

// Until the charts are here.
function ChartFigure({ chart }: { chart: ScatterChart }) {
  return <p>{chart.title}</p>;
}
