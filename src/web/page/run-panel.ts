/** The selected run: its progress, its curves and its controls. */

import { describeDevice } from "../../backend/backend.ts";
import type { DeviceName } from "../../config.ts";
import { showDuration } from "../../format.ts";
import { showBytes } from "../../plan/memory.ts";
import type { Speed } from "../../run/live-run.ts";
import { dataName, describeMethod, type RunRecord } from "../../run/record.ts";
import type { PageRun } from "../protocol.ts";
import { Chart, type Line, smoothed } from "./chart.ts";
import { byId, h, scrollArea, setFigures, setText, table } from "./dom.ts";
import { count, loss, percent, runName } from "./format.ts";
import { type Metric, runMetric } from "./metric.ts";
import { capital, type Remedy, remedies, showError } from "./notice.ts";
import { warning } from "./outcome.ts";

const NONE = "–";

/** The weight of the past in a smoothed training curve. */
const SMOOTHING = 0.6;

/** The actions of the buttons. */
interface RunActions {
  pause(): void;
  stop(): void;
  /** Resumes from the last checkpoint; on `device` if given. */
  resume(run: PageRun, device?: DeviceName): void;
  /** Sets a settings field. */
  set: Parameters<typeof remedies>[1];
}

export class RunPanel {
  private readonly lossChart = new Chart(byId("loss"), {
    title: "Loss",
    axis: "loss",
    show: loss,
    format: (value) => (value < 1e4 ? String(Number(value.toFixed(3))) : value.toExponential(0)),
    range: (_, largest) => [0, largest * 1.05],
  });
  private readonly accuracyChart = new Chart(byId("accuracy"), {
    title: "Accuracy",
    axis: "accuracy",
    show: percent,
    format: (value) => `${Math.round(100 * value)} %`,
    range: (smallest) => [Math.max(0, Math.floor(smallest * 10 - 1e-9) / 10), 1],
  });
  private readonly perplexityChart = new Chart(byId("perplexity"), {
    title: "Perplexity",
    axis: "perplexity",
    show: runMetric({ objective: "lm" }).show,
    format: (value) => (value < 1e6 ? count(value) : value.toExponential(0)),
    range: (_, largest) => [0, largest * 1.05],
  });
  private run: PageRun | null = null;
  private compared: readonly PageRun[] = [];
  private readonly smooth = h("input", { type: "checkbox" });

  constructor(private readonly actions: RunActions) {
    byId("pause").addEventListener("click", () => actions.pause());
    byId("resume").addEventListener("click", () => {
      if (this.run) actions.resume(this.run);
    });
    byId("stop").addEventListener("click", () => actions.stop());
    const words = `Smooth the training curves: exponential moving average, ${SMOOTHING}`;
    byId("charts").append(h("label", { class: "line" }, this.smooth, words));
    this.smooth.addEventListener("input", () => this.charts());
  }

  /** Shows a run, with the curves of the compared runs. */
  show(run: PageRun, speed: Speed | null, compared: readonly PageRun[]): void {
    this.run = run;
    this.compared = compared;
    const { record } = run;
    const title = describeMethod(record.options);
    byId("training").hidden = false;
    byId("training").dataset.state = run.state;
    setText(byId("training-title"), run.name ? `${run.name}: ${title}` : capital(title));
    setText(byId("status"), describeStatus(run));
    const progress = byId<HTMLProgressElement>("progress");
    // A run that patience ended has fewer steps than planned.
    progress.max = (run.state === "finished" ? record.step : record.steps) || 1;
    progress.value = record.step;
    showControls({
      pause: run.state === "training",
      resume: canResume(run),
      stop: run.state === "training",
    });
    setFigures(byId("figures"), run.state === "loaded" ? figuresOfLoaded(run) : runFigures(run, speed));
    const isPlanned = run.state === "loaded" || run.state === "waiting";
    for (const id of ["progress", "charts", "curve-table"]) byId(id).hidden = isPlanned;
    showError(byId("run-error"), run.error ?? runNote(run) ?? warning(record), this.runRemedies(run));
    this.charts();
    showEvaluations(run);
  }

  private runRemedies(run: PageRun): Remedy[] {
    if (!run.error) return run.note === null ? remedies(warning(run.record), this.actions.set) : [];
    const found = remedies(run.error, this.actions.set);
    if (!canResume(run)) return found;
    found.push({
      label: run.usable ? "Resume from the last checkpoint" : "Try again",
      take: () => this.actions.resume(run),
    });
    if (run.error.name === "DeviceError" && run.record.device?.kind === "webgpu")
      found.push({ label: "Resume on the CPU", take: () => this.actions.resume(run, "wasm") });
    return found;
  }

  private charts(): void {
    const { run } = this;
    if (!run || byId("charts").hidden) return;
    const { record } = run;
    const compared = this.compared.filter((one) => one.id !== run.id && one.record.objective === record.objective);
    const runs = byData([run, ...compared]);
    const isLm = record.objective === "lm";
    byId("accuracy").hidden = isLm;
    byId("perplexity").hidden = !isLm;
    const metric = runMetric(record);
    setText(byId("metric-help"), metric.help);
    for (const [chart, of] of [
      [this.lossChart, LOSS],
      [isLm ? this.perplexityChart : this.accuracyChart, metric],
    ] as const)
      chart.show(curveLines(runs, of, this.smooth.checked), describe(record, of));
  }
}

type Figure = readonly [term: string, value: string, hint?: string];

/** What is known of a run; what is not is left out. */
function runFigures({ record, state }: PageRun, speed: Speed | null): Figure[] {
  const { objective, unequal, evaluations, step, steps, memory, device } = record;
  const last = evaluations.at(-1);
  const recent = speed ?? last?.train;
  const metric = runMetric(record);
  const show = (measured: Parameters<Metric["of"]>[0]) => metric.show(metric.of(measured));
  const units = objective === "lm" ? "Blocks" : "Examples";
  const figures: (Figure | undefined | false | null)[] = [
    recent && ["Loss", loss(recent.loss), "Mean over the last 20 steps"],
    last && ["Validation loss", loss(last.val.loss)],
    recent && [metric.title, show(recent), "Mean over the last 20 steps"],
    last && [`Validation ${metric.title.toLowerCase()}`, show(last.val)],
    last && unequal && ["Validation macro F1", percent(last.val.macroF1!)],
    speed && [`${units} per second`, speed.examplesPerSecond.toFixed(speed.examplesPerSecond < 10 ? 1 : 0)],
    speed && state === "training" && ["Time left", showDuration(speed.secondsLeft)],
    ["Step", `${count(step)} of ${count(steps)}`],
    ["Memory", showBytes(memory)],
    device && ["Device", describeDevice(device)],
  ];
  return figures.filter((figure): figure is Figure => Boolean(figure));
}

/** With more, their number is shown. */
const NAMED_CLASSES = 6;

function figuresOfLoaded({ model, record: { trainable, labels, objective } }: PageRun): Figure[] {
  const classes: Figure = ["Classes", labels.length > NAMED_CLASSES ? count(labels.length) : labels.join(", ")];
  return [["Trained parameters", count(trainable)], ...(objective === "lm" ? [] : [classes]), ["Base model", model]];
}

/** The runs on one data set side by side, those on the first run's first. */
function byData(runs: readonly PageRun[]): PageRun[] {
  const names = runs.map(({ record }) => dataName(record));
  return [...runs].sort((a, b) => names.indexOf(dataName(a.record)) - names.indexOf(dataName(b.record)));
}

/** Number of line colours. */
const COLORS = 6;

type Plotted = Pick<Metric, "of" | "show">;
const LOSS: Plotted = { of: ({ loss }) => loss, show: loss };

function curveLines(runs: readonly PageRun[], { of }: Plotted, isSmooth: boolean): Line[] {
  const alone = runs.length === 1;
  return runs.flatMap((run, i): Line[] => {
    const color = (i % COLORS) + 1;
    const { curve, evaluations } = run.record;
    const group = dataName(run.record);
    const values = curve.loss.map((loss, i) => of({ loss, accuracy: curve.accuracy[i]! }));
    const training: Line = {
      label: alone ? "training" : null,
      group,
      color,
      kind: "training",
      examples: curve.examples,
      values: isSmooth ? smoothed(values, SMOOTHING) : values,
    };
    const validation: Line = {
      label: alone ? "validation" : nameWithTime(run),
      group,
      color: alone ? 2 : color,
      kind: "evaluation",
      examples: evaluations.map(({ examples }) => examples),
      values: evaluations.map(({ val }) => of(val)),
    };
    return [training, validation];
  });
}

/** Shows the buttons that apply. The focus moves from a hidden button to a visible one. */
function showControls(wanted: Record<"pause" | "resume" | "stop", boolean>): void {
  const focused = document.activeElement?.id ?? "";
  for (const [id, isWanted] of Object.entries(wanted)) byId(id).hidden = !isWanted;
  if (!(focused in wanted) || wanted[focused as "pause"]) return;
  const next = Object.entries(wanted).find(([, isWanted]) => isWanted)?.[0] ?? "training";
  byId(next).focus({ preventScroll: true });
}

function nameWithTime(run: PageRun): string {
  return `${runName(run)} (${new Date(run.record.created).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })})`;
}

function describe({ evaluations, objective }: RunRecord, { of, show }: Plotted): string {
  const first = evaluations[0];
  const last = evaluations.at(-1);
  if (!first || !last) return "No data yet.";
  const training = last.train ? ` Training: ${show(of(last.train))}.` : "";
  return `Validation: from ${show(of(first.val))} to ${show(of(last.val))} after ${count(last.examples)} ${objective === "lm" ? "blocks" : "examples"}.${training}`;
}

export function canResume({ state, error: report }: PageRun): boolean {
  return (
    state === "paused" ||
    state === "stopped" ||
    state === "interrupted" ||
    (state === "failed" && report?.name !== "TrainingError")
  );
}

function runNote(run: PageRun) {
  return run.note === null ? null : { name: "note", summary: run.note };
}

/** The text of a live region: it changes with the state and with evaluations, not with steps. */
function describeStatus({ record, state, error }: PageRun): string {
  const { evaluations, step, steps, seconds, results, unequal } = record;
  const last = evaluations.at(-1);
  const metric = runMetric(record);
  const reached =
    last && last.step > 0
      ? ` Validation ${metric.title.toLowerCase()} ${metric.show(metric.of(last.val))} after ${last.epoch.toFixed(1)} epochs.`
      : "";
  switch (state) {
    case "training":
      if (!last) return "Evaluating the model before training …";
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
    case "finished": {
      const [before, after] = [results!.before.test, results!.after.test];
      if (record.objective === "lm")
        return `Finished in ${showDuration(seconds)}: the perplexity on the test set was ${metric.show(metric.of(before))} before and is ${metric.show(metric.of(after))} now.`;
      return `Finished in ${showDuration(seconds)}: ${percent(after.accuracy)} of ${count(after.rows)} test messages correct${unequal ? `, macro F1 ${percent(after.macroF1!)}` : ""}.`;
    }
    case "failed":
      return `Training failed.${reached}`;
    case "loaded":
      return "An adapter loaded from a file.";
  }
}

function showEvaluations({ id, record }: PageRun): void {
  const { evaluations, objective, unequal, options } = record;
  const place = byId("curve-table").lastElementChild!;
  const key = `${id} ${evaluations.length}`;
  if (place.getAttribute("data-of") === key) return;
  place.setAttribute("data-of", key);
  const metric = runMetric(record);
  const title = metric.title.toLowerCase();
  const header = [
    ...["Epoch", objective === "lm" ? "Blocks" : "Examples", "Training loss", "Validation loss"],
    ...[`Training ${title}`, `Validation ${title}`],
    ...(unequal ? ["Validation macro F1"] : []),
  ];
  place.replaceChildren(
    scrollArea(
      "Evaluations",
      table(
        `Evaluations of ${describeMethod(options)}`,
        header,
        evaluations.map(({ epoch, examples, train, val }) => [
          epoch.toFixed(2),
          count(examples),
          train ? loss(train.loss) : NONE,
          loss(val.loss),
          train ? metric.show(metric.of(train)) : NONE,
          metric.show(metric.of(val)),
          ...(unequal ? [percent(val.macroF1!)] : []),
        ]),
      ),
    ),
  );
}
