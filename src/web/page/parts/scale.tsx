/** Everything that a run learned, scaled from 0 to 2, and the accuracy on the test set. */
import { signal, useSignal, useSignalEffect } from "@preact/signals";
import { count, percent } from "../../../format.ts";
import type { Line, LineChart } from "../../../views/charts/chart.ts";
import { ChartPlot } from "../../../views/charts/figure.tsx";
import type { ErrorReport, PageRun } from "../../protocol.ts";
import { failureReport } from "../state/client.ts";
import { worker } from "../state/worker.ts";
import { ErrorPlace } from "./error.tsx";

/** Milliseconds without movement before a value is measured. */
const PAUSE = 250;
const MOST = 2;

/** Accuracies by run and step, as a run has other parameters once it has gone on; of each by factor. */
const measured = signal<Readonly<Record<string, Readonly<Record<number, number>>>>>({});

const NAMES: Record<number, string> = { 0: ", as before training", 1: ", as trained" };

/** Nothing for a run that was not measured on its test set, and that has no classes. */
export function Scale({ run }: { run: PageRun }) {
  const { results } = run.record;
  return results?.test ? <Factor run={run} results={results} /> : null;
}

function Factor({
  run: { id, record },
  results,
}: {
  run: PageRun;
  results: NonNullable<PageRun["record"]["results"]>;
}) {
  const factor = useSignal(1);
  /** Why a factor has no accuracy. */
  const missing = useSignal<{ factor: number; why: string } | null>(null);
  const error = useSignal<ErrorReport | null>(null);
  const key = `${id} ${record.step}`;
  // Both ends are known.
  const known = { 0: results.before.test.accuracy!, 1: results.after.test.accuracy! };
  const values: Readonly<Record<number, number>> = { ...measured.value[key], ...known };

  const measure = async (at: number) => {
    missing.value = { factor: at, why: ": measuring …" };
    try {
      const accuracy = await worker.accuracyAt(id, at);
      error.value = null;
      if (accuracy === null) missing.value = { factor: at, why: ": not measured while a run is active." };
      else measured.value = { ...measured.value, [key]: { ...measured.value[key], [at]: accuracy } };
    } catch (reason) {
      error.value = failureReport(reason);
    }
  };
  // A pause of the slider.
  useSignalEffect(() => {
    const at = factor.value;
    if (at in known || at in (measured.peek()[key] ?? {})) return;
    const timer = setTimeout(measure, PAUSE, at);
    return () => clearTimeout(timer);
  });

  const at = factor.value;
  const accuracy = values[at];
  const points = Object.entries(values)
    .map(([factor, accuracy]): Point => [Number(factor), accuracy])
    .sort(([a], [b]) => a - b);
  return (
    <div class="part">
      <h3>What if it had learned less, or more?</h3>
      <p class="help">
        Everything that was learned, times a factor: 0 is the model before training, 1 the trained one, 2 twice the
        change. Where the curve is flat, the exact size of the change matters little; where it falls beyond 1, more of
        the same is too much.
      </p>
      <div class="factor">
        <ChartPlot chart={accuracyChart(points, at)} description={`${points.map(describePoint).join(", ")}.`} />
        <label for="scale">Factor</label>
        <input
          id="scale"
          type="range"
          min={0}
          max={MOST}
          step={0.1}
          aria-valuetext={`${at.toFixed(1)} times`}
          value={at}
          onInput={({ currentTarget }) => {
            factor.value = currentTarget.valueAsNumber;
          }}
        />
      </div>
      <output for="scale">
        {at.toFixed(1)}
        {accuracy !== undefined
          ? `: ${percent(accuracy)} of ${count(results.after.test.rows)} test messages correct${NAMES[at] ?? ""}`
          : missing.value?.factor === at && missing.value.why}
      </output>
      <ErrorPlace id="scale-error" report={error.value} />
    </div>
  );
}

type Point = readonly [factor: number, accuracy: number];

const describePoint = ([factor, accuracy]: Point) => `${factor.toFixed(1)}: ${percent(accuracy)}`;

/** The point of the chosen factor has another mark. */
function accuracyChart(points: readonly Point[], chosen: number): LineChart {
  const line = (color: number, points: readonly Point[]): Line => ({
    ...{ name: null, color, look: "solid" },
    xs: points.map(([factor]) => factor),
    ys: points.map(([, accuracy]) => accuracy),
  });
  const low = Math.floor(10 * Math.min(...points.map(([, accuracy]) => accuracy)) - 1e-9) / 10;
  return {
    kind: "lines",
    title: "Test accuracy by factor",
    x: { title: "factor", show: (factor) => factor.toFixed(1), tick: String, from: 0, to: MOST },
    y: {
      title: "test accuracy",
      show: (share) => percent(share),
      tick: (share) => percent(share, 0),
      from: Math.max(0, low),
      to: 1,
    },
    lines: [
      line(0, points),
      line(
        1,
        points.filter(([factor]) => factor === chosen),
      ),
    ],
  };
}
