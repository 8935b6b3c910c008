/** The shown run: how good it is, or its progress, its controls and what it learns. */
import { computed, effect, signal } from "@preact/signals";
import type { RefObject } from "preact";
import { useRef } from "preact/hooks";
import { describeReplaced } from "../../../backend/backend.ts";
import { formatCount, formatDuration, percent } from "../../../core/format.ts";
import { joinPair } from "../../../core/pair.ts";
import { takesSteps } from "../../../methods/index.ts";
import { answerOf } from "../../../tasks/predictions.ts";
import { sinceBest } from "../../../train/best.ts";
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks, isolate } from "../../../views/components.tsx";
import { describeMeasured } from "../../../views/measures.ts";
import { answerBlocks } from "../../../views/run.ts";
import { Bar } from "../../../views/verdict.tsx";
import { describeAnswer, nothingLearned } from "../../../views/verdicts.ts";
import { areSeeds, type ErrorReport, isUnderWay, type PageRun, type WatchedMessage } from "../../protocol.ts";
import { comparedRuns, finish, pause, resume, shown, speed, stop } from "../runs/runs.ts";
import { ask } from "../shared/ask.ts";
import { ErrorPlace, type Remedy, remedies } from "../shared/error.tsx";
import { useNextFocus } from "../shared/hooks.tsx";
import { usePart } from "../shared/scroll.ts";
import { inPageWords, runTitle } from "../shared/words.ts";
import { worker } from "../shared/worker.ts";
import { correct } from "../train/fields.ts";
import { judge, showAnswer } from "../try/judge.tsx";
import { Course, Curve, curvesOf, Figures, loadedFigures } from "./course.tsx";
import { waysAfter } from "./ways.tsx";

const latest = signal<{ id: string; messages: WatchedMessage[] } | null>(null);

/** Of the shown run; also when it has just been stopped. */
export const watched = computed(() => (latest.value?.id === shown.value?.id ? latest.value!.messages : []));

/** Changes when there are other answers. */
const version = computed(() => {
  const run = shown.value;
  return run && isUnderWay(run) ? `${run.id} ${run.checkpoint}` : null;
});

effect(() => {
  if (version.value === null) return;
  const { id } = shown.peek()!;
  const take = (messages: WatchedMessage[] | null) => {
    latest.value = messages && { id, messages };
  };
  return ask(
    () => worker.watch(id),
    take,
    () => {},
  );
});

function Watched() {
  // A probe knows nothing before its end.
  if (watched.value.length === 0 || !takesSteps(shown.value!.record.options.mode)) return null;
  return (
    <div id="watched">
      <h3>How sure it is of the right label, for messages it does not learn from</h3>
      <ul>
        {watched.value.map((watchedMessage, i) => (
          <Message key={i} message={watchedMessage} />
        ))}
      </ul>
    </div>
  );
}

/** Its true label, and how probable that is by now; of scores and several labels what is predicted. */
function Message({ message: { text, truth, answer } }: { message: WatchedMessage }) {
  const shown = showAnswer(truth);
  const short = joinPair(text).replaceAll(/\s+/g, " ");
  const share = answer && "probabilities" in answer && typeof truth === "string" ? answer.probabilities[truth]! : null;
  const predicted = answer && answerOf(answer);
  const look = predicted === null ? "help" : judge(truth, predicted)[0];
  return (
    <li class={look}>
      <span class="text" title={short} dir="auto">
        {short}
      </span>
      {typeof truth === "string" && <Bar share={share ?? 0} />}
      <small>
        <bdi>{shown}</bdi> {share === null ? predicted !== null && `: ${showAnswer(predicted)}` : percent(share, 0)}
      </small>
    </li>
  );
}

export function RunCard() {
  const run = shown.value;
  const card = usePart<HTMLElement>("training");
  const isFinished = run?.state === "finished";
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
      {run?.comparison !== undefined && <p class="help">{describePlace(run)}</p>}
      <p id="status" role="status">
        {run && isolate(describeStatus(run))}
      </p>
      <progress
        id="progress"
        aria-label="Progress of the run"
        hidden={isPlanned || isFinished}
        // A run that patience ended has fewer steps than planned.
        max={(isFinished ? run.record.step : run?.record.steps) || 1}
        value={run?.record.step ?? 0}
      />
      <p id="pace" class="help">
        {run?.state === "training" && describePace(run)}
      </p>
      <ErrorPlace id="run-error" report={run && runReport(run)} ways={run ? runRemedies(run) : []} />
      {isFinished && <Answer run={run} />}
      {run && !isFinished && !isPlanned && <Progress run={run} />}
      {run?.state === "loaded" && <Figures figures={loadedFigures(run)} />}
    </section>
  );
}

/** The picture of how good it is, and what to make of it: the sentence is the status. */
function Answer({ run }: { run: PageRun }) {
  const [, ...blocks] = answerBlocks(run.record);
  return (
    <div id="answer">
      <Blocks blocks={blocks} medium={{ ...IN_PAGE, words: inPageWords, ways: waysAfter(run) }} />
    </div>
  );
}

/** The progress of a run that has not finished: some messages and one curve, with all else on demand. */
function Progress({ run }: { run: PageRun }) {
  const curves = curvesOf(run);
  const main = curves.at(-1);
  return (
    <>
      <div class="watch">
        <Watched />
        {main && <Curve curve={main} />}
      </div>
      <details id="course">
        <summary>Details</summary>
        <Course run={run} curves={curves.slice(0, -1)} />
      </details>
    </>
  );
}

function Controls({ run, card }: { run: PageRun; card: RefObject<HTMLElement | null> }) {
  const buttons = useRef<HTMLDivElement>(null);
  useNextFocus(buttons, card);
  const isTraining = run.state === "training";
  return (
    <div id="controls" class="row" ref={buttons}>
      <button id="pause" type="button" hidden={!isTraining || !takesSteps(run.record.options.mode)} onClick={pause}>
        Pause
      </button>
      <button id="resume" type="button" hidden={!canResume(run)} onClick={() => resume(run)}>
        Resume
      </button>
      <button id="stop" type="button" hidden={!isTraining} onClick={stop}>
        Stop
      </button>
      <button id="finish" type="button" hidden={!canFinish(run)} onClick={() => finish(run)}>
        {isTraining ? "Finish now" : "Test it as it is"}
      </button>
    </div>
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
  const hasFailed = state === "failed" && error?.name !== "TrainingError";
  const isUnstored = state === "finished" && error !== null;
  return ["paused", "stopped", "interrupted"].includes(state) || hasFailed || isUnstored;
}

/** Whether what it has learned so far can be measured; the runs of a comparison are trained equally long. */
function canFinish(run: PageRun): boolean {
  const { state, usable, comparison, record } = run;
  const isMeasured = comparison !== undefined || record.counts.rows[2]! === 0 || record.results !== null;
  return usable && !isMeasured && (state === "training" || canResume(run));
}

/** The text of a live region: it changes with the state and with evaluations, not with steps. */
function describeStatus({ record, state, error }: PageRun): string {
  const { evaluations, step, steps, options } = record;
  const last = evaluations.at(-1);
  const reached =
    last && last.step > 0
      ? ` Validation ${describeMeasured(record.objective, last.val)} after ${last.epoch.toFixed(1)} epochs.`
      : "";
  switch (state) {
    case "training":
      if (!takesSteps(options.mode)) return "Reading the messages …";
      if (!last && step === 0) return "Evaluating the model before training …";
      if (step >= steps) return "Testing what it has learned …";
      return `Training.${reached}${sinceBest(evaluations) >= LONG ? ` The last ${sinceBest(evaluations)} evaluations were no better: you can finish now.` : ""}`;
    case "stopping":
      return "Ending: saving what it has learned …";
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
      return describeAnswer(record);
    case "failed":
      return `Training failed.${reached}`;
    case "loaded":
      return "An adapter loaded from a file.";
  }
}

/** Evaluations without a lower validation loss after which a run will hardly become better. */
const LONG = 3;

/** "Step 48 of 1,776, 1 min 17 s left"; of a probe rows. */
function describePace({ record: { step, steps, options } }: PageRun): string {
  // What a word-count model will take is not known before.
  const left = speed.value && speed.value.secondsLeft >= 1 ? `, ${formatDuration(speed.value.secondsLeft)} left` : "";
  return `${takesSteps(options.mode) ? "Step" : "Row"} ${formatCount(step)} of ${formatCount(steps)}${left}`;
}

/** "The 3rd of 7 runs of a comparison." */
function describePlace({ id, comparison }: PageRun): string {
  const all = comparedRuns(comparison!);
  const place = all.findIndex((run) => run.id === id) + 1;
  return `Run ${place} of the ${all.length} of a comparison of ${areSeeds(all) ? "seeds" : "methods"}.`;
}
