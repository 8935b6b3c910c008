/** The selected run: its progress, its curves and its controls. */

import type { DeviceName } from "../../config.ts";
import { showBytes } from "../../plan/memory.ts";
import { showDuration } from "../../report/duration.ts";
import type { RunRecord, Speed } from "../protocol.ts";
import { Chart, type Line, smoothed } from "./chart.ts";
import { byId, h, scrollArea, setFigures, setText, table } from "./dom.ts";
import { count, loss, nameOf, percent } from "./format.ts";
import { type Metric, metricOf } from "./metric.ts";
import { capital, type Remedy, remedies, showError } from "./notice.ts";

const NONE = "–";

/** The weight of the past in a smoothed training curve. */
const SMOOTHING = 0.6;

/** The actions of the buttons. */
interface RunActions {
  pause(): void;
  stop(): void;
  /** Resumes from the last checkpoint; on `device` if given. */
  resume(run: RunRecord, device?: DeviceName): void;
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
    show: metricOf({ objective: "lm" }).show,
    format: (value) => (value < 1e6 ? count(value) : value.toExponential(0)),
    range: (_, largest) => [0, largest * 1.05],
  });
  private run: RunRecord | null = null;
  private compared: readonly RunRecord[] = [];
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
  show(run: RunRecord, speed: Speed | null, compared: readonly RunRecord[]): void {
    this.run = run;
    this.compared = compared;
    byId("training").hidden = false;
    byId("training").dataset.state = run.state;
    setText(byId("training-title"), run.name ? `${run.name}: ${run.title}` : capital(run.title));
    setText(byId("status"), statusOf(run));
    const progress = byId<HTMLProgressElement>("progress");
    // A run that patience ended has fewer steps than planned.
    progress.max = (run.state === "finished" ? run.step : run.steps) || 1;
    progress.value = run.step;
    showControls({
      pause: run.state === "training",
      resume: canResume(run),
      stop: run.state === "training",
    });
    setFigures(byId("figures"), run.state === "loaded" ? figuresOfLoaded(run) : figuresOf(run, speed));
    const isPlanned = run.state === "loaded" || run.state === "waiting";
    for (const id of ["progress", "charts", "curve-table"]) byId(id).hidden = isPlanned;
    showError(byId("run-error"), run.error ?? noteOf(run) ?? run.warning ?? null, this.remediesOf(run));
    this.charts();
    evaluations(run);
  }

  private remediesOf(run: RunRecord): Remedy[] {
    if (!run.error) return run.warning && run.note === null ? remedies(run.warning, this.actions.set) : [];
    const found = remedies(run.error, this.actions.set);
    if (!canResume(run)) return found;
    found.push({
      label: run.usable ? "Resume from the last checkpoint" : "Try again",
      take: () => this.actions.resume(run),
    });
    if (run.error.name === "DeviceError" && run.device.includes("webgpu"))
      found.push({ label: "Resume on the CPU", take: () => this.actions.resume(run, "wasm") });
    return found;
  }

  private charts(): void {
    const { run } = this;
    if (!run || byId("charts").hidden) return;
    const compared = this.compared.filter(({ id, objective }) => id !== run.id && objective === run.objective);
    const runs = byData([run, ...compared]);
    const isLm = run.objective === "lm";
    byId("accuracy").hidden = isLm;
    byId("perplexity").hidden = !isLm;
    const metric = metricOf(run);
    setText(byId("metric-help"), metric.help);
    for (const [chart, of] of [
      [this.lossChart, LOSS],
      [isLm ? this.perplexityChart : this.accuracyChart, metric],
    ] as const)
      chart.show(linesOf(runs, of, this.smooth.checked), describe(run, of));
  }
}

type Figure = readonly [term: string, value: string, hint?: string];

/** What is known of a run; what is not is left out. */
function figuresOf(run: RunRecord, speed: Speed | null): Figure[] {
  const last = run.evaluations.at(-1);
  const recent = speed ?? last?.train;
  const metric = metricOf(run);
  const show = (measured: Parameters<Metric["of"]>[0]) => metric.show(metric.of(measured));
  const units = run.objective === "lm" ? "Blocks" : "Examples";
  const figures: (Figure | undefined | false | null)[] = [
    recent && ["Loss", loss(recent.loss), "Mean over the last 20 steps"],
    last && ["Validation loss", loss(last.val.loss)],
    recent && [metric.title, show(recent), "Mean over the last 20 steps"],
    last && [`Validation ${metric.title.toLowerCase()}`, show(last.val)],
    last && run.unequal && ["Validation macro F1", percent(last.val.macroF1!)],
    speed && [`${units} per second`, speed.examplesPerSecond.toFixed(speed.examplesPerSecond < 10 ? 1 : 0)],
    speed && run.state === "training" && ["Time left", showDuration(speed.secondsLeft)],
    ["Step", `${count(run.step)} of ${count(run.steps)}`],
    ["Memory", showBytes(run.bytes)],
    ["Device", run.device],
  ];
  return figures.filter((figure): figure is Figure => Boolean(figure));
}

/** With more, their number is shown. */
const NAMED_CLASSES = 6;

function figuresOfLoaded({ settings, trainable, labels, objective }: RunRecord): Figure[] {
  const classes: Figure = ["Classes", labels.length > NAMED_CLASSES ? count(labels.length) : labels.join(", ")];
  return [
    ["Trained parameters", count(trainable)],
    ...(objective === "lm" ? [] : [classes]),
    ["Base model", settings.model],
  ];
}

/** The runs on one data set side by side, those on the first run's first. */
function byData(runs: readonly RunRecord[]): RunRecord[] {
  const names = runs.map(({ dataName }) => dataName);
  return [...runs].sort((a, b) => names.indexOf(a.dataName) - names.indexOf(b.dataName));
}

/** Number of line colours. */
const COLORS = 6;

type Plotted = Pick<Metric, "of" | "show">;
const LOSS: Plotted = { of: ({ loss }) => loss, show: loss };

function linesOf(runs: readonly RunRecord[], { of }: Plotted, isSmooth: boolean): Line[] {
  const alone = runs.length === 1;
  return runs.flatMap((run, i): Line[] => {
    const color = (i % COLORS) + 1;
    const values = run.curve.loss.map((loss, i) => of({ loss, accuracy: run.curve.accuracy[i]! }));
    const training: Line = {
      label: alone ? "training" : null,
      group: run.dataName,
      color,
      kind: "training",
      examples: run.curve.examples,
      values: isSmooth ? smoothed(values, SMOOTHING) : values,
    };
    const validation: Line = {
      label: alone ? "validation" : nameWithTime(run),
      group: run.dataName,
      color: alone ? 2 : color,
      kind: "evaluation",
      examples: run.evaluations.map(({ examples }) => examples),
      values: run.evaluations.map(({ val }) => of(val)),
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

function nameWithTime(run: RunRecord): string {
  return `${nameOf(run)} (${new Date(run.created).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit" })})`;
}

function describe(run: RunRecord, { of, show }: Plotted): string {
  const first = run.evaluations[0];
  const last = run.evaluations.at(-1);
  if (!first || !last) return "No data yet.";
  const training = last.train ? ` Training: ${show(of(last.train))}.` : "";
  return `Validation: from ${show(of(first.val))} to ${show(of(last.val))} after ${count(last.examples)} ${run.objective === "lm" ? "blocks" : "examples"}.${training}`;
}

function canResume({ state, error: report }: RunRecord): boolean {
  return (
    state === "paused" ||
    state === "stopped" ||
    state === "interrupted" ||
    (state === "failed" && report?.name !== "TrainingError")
  );
}

function noteOf(run: RunRecord) {
  return run.note === null ? null : { name: "note", summary: run.note };
}

/** The text of a live region: it changes with the state and with evaluations, not with steps. */
function statusOf(run: RunRecord): string {
  const last = run.evaluations.at(-1);
  const metric = metricOf(run);
  const reached =
    last && last.step > 0
      ? ` Validation ${metric.title.toLowerCase()} ${metric.show(metric.of(last.val))} after ${last.epoch.toFixed(1)} epochs.`
      : "";
  switch (run.state) {
    case "training":
      if (!last) return "Evaluating the model before training …";
      if (run.step >= run.steps) return "Evaluating the trained model …";
      return `Training.${reached}`;
    case "stopping":
      return "Stopping: saving the trained parameters …";
    case "paused":
      return `Paused: its state is stored, also when you close this page.${reached}`;
    case "interrupted":
      return `Interrupted${run.error ? "" : ": the page was closed or reloaded"}. Resume it from the last checkpoint.${reached}`;
    case "waiting":
      return "Waiting: the comparison has not begun this run.";
    case "elsewhere":
      return "Training in another tab of this page.";
    case "stopped":
      return `Stopped early.${reached}`;
    case "finished":
      if (run.objective === "lm")
        return `Finished in ${showDuration(run.seconds)}: the perplexity on the test set was ${metric.show(metric.of(run.before!.test))} before and is ${metric.show(metric.of(run.after!.test))} now.`;
      return `Finished in ${showDuration(run.seconds)}: ${percent(run.after!.test.accuracy)} of ${count(run.after!.test.rows)} test messages correct${run.unequal ? `, macro F1 ${percent(run.after!.test.macroF1!)}` : ""}.`;
    case "failed":
      return `Training failed.${reached}`;
    case "loaded":
      return "An adapter loaded from a file.";
  }
}

function evaluations(run: RunRecord): void {
  const place = byId("curve-table").lastElementChild!;
  if (place.getAttribute("data-of") === `${run.id} ${run.evaluations.length}`) return;
  place.setAttribute("data-of", `${run.id} ${run.evaluations.length}`);
  const metric = metricOf(run);
  const title = metric.title.toLowerCase();
  const header = [
    ...["Epoch", run.objective === "lm" ? "Blocks" : "Examples", "Training loss", "Validation loss"],
    ...[`Training ${title}`, `Validation ${title}`],
    ...(run.unequal ? ["Validation macro F1"] : []),
  ];
  place.replaceChildren(
    scrollArea(
      "Evaluations",
      table(
        `Evaluations of ${run.title}`,
        header,
        run.evaluations.map(({ epoch, examples, train, val }) => [
          epoch.toFixed(2),
          count(examples),
          train ? loss(train.loss) : NONE,
          loss(val.loss),
          train ? metric.show(metric.of(train)) : NONE,
          metric.show(metric.of(val)),
          ...(run.unequal ? [percent(val.macroF1!)] : []),
        ]),
      ),
    ),
  );
}
