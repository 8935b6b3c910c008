/** Everything that a run learned, scaled from 0 to 2, and the accuracy on the test set. */
import { signal, useSignal, useSignalEffect } from "@preact/signals";
import { count, percent } from "../../../format.ts";
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

/** Nothing for a run that was not measured on its test set. */
export function Scale({ run }: { run: PageRun }) {
  const { results, objective } = run.record;
  return results && objective !== "lm" ? <Factor run={run} results={results} /> : null;
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
  const known = { 0: results.before.test.accuracy, 1: results.after.test.accuracy };
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
  return (
    <div class="part">
      <h3>What if it had learned less, or more?</h3>
      <p class="help">
        Everything that was learned, times a factor: 0 is the model before training, 1 the trained one, 2 twice the
        change. Where the curve is flat, the exact size of the change matters little; where it falls beyond 1, more of
        the same is too much.
      </p>
      <div class="factor">
        <figure class="curve">
          <AccuracyCurve values={values} factor={at} />
        </figure>
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

/** The drawing's size, and the space around its plot. */
const [WIDTH, HEIGHT, LEFT, BOTTOM, TOP] = [320, 130, 44, 20, 8];

function AccuracyCurve({ values, factor }: { values: Readonly<Record<number, number>>; factor: number }) {
  const points = Object.entries(values)
    .map(([s, accuracy]) => [Number(s), accuracy] as const)
    .sort(([a], [b]) => a - b);
  const low = Math.max(0, Math.floor(10 * Math.min(...points.map(([, accuracy]) => accuracy)) - 1e-9) / 10);
  const x = (s: number) => LEFT + ((WIDTH - LEFT - TOP) * s) / MOST;
  const y = (accuracy: number) => TOP + (HEIGHT - TOP - BOTTOM) * (1 - (accuracy - low) / (1 - low || 1));
  const label = points.map(([s, accuracy]) => `${s.toFixed(1)}: ${percent(accuracy)}`).join(", ");
  return (
    <svg viewBox={`0 0 ${WIDTH} ${HEIGHT}`} role="img" aria-label={`Test accuracy by factor. ${label}`}>
      <line class="axis" x1={x(0)} x2={x(MOST)} y1={y(low)} y2={y(low)} />
      <line class="chosen" x1={x(factor)} x2={x(factor)} y1={y(1)} y2={y(low)} />
      <polyline points={points.map(([s, accuracy]) => `${x(s)},${y(accuracy)}`).join(" ")} />
      {points.map(([s, accuracy]) => (
        <circle key={s} cx={x(s)} cy={y(accuracy)} r={s === factor ? 5 : 3} />
      ))}
      {[0, 1, MOST].map((s) => (
        <text key={`x${s}`} x={x(s)} y={HEIGHT - 5} text-anchor="middle">
          {s}
        </text>
      ))}
      {[low, 1].map((share) => (
        <text key={`y${share}`} x={LEFT - 6} y={y(share) + 4} text-anchor="end">
          {percent(share, 0)}
        </text>
      ))}
    </svg>
  );
}
