/** Compares methods: starts the runs of a comparison, and shows their table, their chart and their results. */

import { MODES, type Mode } from "../../config.ts";
import { showDuration } from "../../format.ts";
import { showBytes } from "../../plan/memory.ts";
import { dataName, type RunRecord } from "../../run/record.ts";
import { isUnderWay, type PageRun, type PageSettings } from "../protocol.ts";
import { compareRuns, describeOutcomes, list, type Outcome, shortName } from "./compare-results.ts";
import { byId, h, scrollArea, setText, table } from "./dom.ts";
import { compact, count, percent } from "./format.ts";
import { STATES } from "./runs-panel.ts";
import { type ScatterAxis, scatter } from "./scatter.ts";

interface CompareActions {
  start(settings: PageSettings): void;
  resume(run: PageRun): void;
  stop(): void;
}

/** The duration of a run, measured in runs with LoRA on gpt2-micro, and that of a comparison. */
const DURATIONS: Record<Mode, number> = {
  ...{ lora: 1, all: 1.6, last_block: 0.4, last_layer: 0.3, bitfit: 1.1, adapter: 0.7, prompt: 1.4, prefix: 1 },
};
const ALL = 6.4;

interface Axis extends ScatterAxis {
  of: (record: RunRecord) => number;
}

const AXES: Record<string, Axis> = {
  trained: { title: "trained parameters", of: ({ trainable }) => trainable, show: compact },
  time: { title: "training time, with evaluation", of: ({ seconds }) => seconds, show: showDuration },
  file: { title: "adapter file", of: ({ saved }) => saved, show: showBytes },
};

const HEADER = ["Method", "Trained parameters", "Test accuracy (95 %)", "Time", "Adapter file", "Beside the best"];

export class ComparePanel {
  private settings: PageSettings | null = null;
  private current: PageRun | undefined;
  private runs: PageRun[] = [];
  private drawn = "";
  private readonly start = byId<HTMLButtonElement>("compare-start");
  private readonly axis = byId<HTMLSelectElement>("compare-axis");
  private readonly chartPlace = byId("compare-chart");

  constructor(actions: CompareActions) {
    this.start.addEventListener("click", () => {
      if (this.settings) actions.start(this.settings);
    });
    byId("compare-stop").addEventListener("click", () => actions.stop());
    byId("compare-continue").addEventListener("click", () => {
      const next = this.unfinished;
      if (next) actions.resume(next);
    });
    this.axis.append(...Object.entries(AXES).map(([value, { title }]) => h("option", { value }, title)));
    this.axis.addEventListener("input", () => this.draw());
    let width = 0;
    new ResizeObserver(() => {
      const { clientWidth } = this.chartPlace;
      if (clientWidth !== width) this.draw();
      width = clientWidth;
    }).observe(this.chartPlace);
  }

  /** Offers to compare methods with these settings, if any, for messages. `seconds`: the estimated time of a run. */
  offer(settings: PageSettings | null, seconds: number | null = null): void {
    const isLm = settings?.objective === "lm";
    if (settings) byId("compare").hidden = isLm && this.runs.length === 0;
    this.settings = isLm ? null : settings;
    if (this.settings && seconds !== null) {
      const minutes = ((ALL / DURATIONS[this.settings.mode ?? "lora"]) * seconds) / 60;
      setText(this.start, `Compare methods (about ${Math.max(1, Math.round(minutes))} min)`);
    }
    this.enable();
  }

  /** Shows the comparison of the selected run, else the newest. */
  use(runs: readonly PageRun[], shown: PageRun | undefined, current: PageRun | undefined): void {
    this.current = current;
    const id = shown?.comparison ?? runs.find(({ comparison }) => comparison !== undefined)?.comparison;
    this.runs = id === undefined ? [] : runs.filter(({ comparison }) => comparison === id).reverse();
    this.enable();
    this.progress();
    const drawn = JSON.stringify(this.runs.map(({ id, name, state, usable }) => [id, name, state, usable]));
    if (drawn === this.drawn) return;
    this.drawn = drawn;
    this.draw();
  }

  /** The run with which the comparison continues: one that was interrupted or stopped, else the next that waits. */
  private get unfinished(): PageRun | undefined {
    const resumed = ["interrupted", "paused", "stopped"];
    return this.runs.find(({ state }) => resumed.includes(state)) ?? this.runs.find(({ state }) => state === "waiting");
  }

  private enable(): void {
    const { runs, current } = this;
    const active = runs.filter((run) => isUnderWay(run) || run.id === current?.id);
    this.start.disabled = this.settings === null || current !== undefined;
    byId("compare-stop").hidden = active.length === 0;
    byId("compare-continue").hidden = current !== undefined || this.unfinished === undefined;
    const numbers = list(active.map((run) => String(runs.indexOf(run) + 1)));
    const atOnce = active.length > 1 ? " at the same time" : "";
    const state =
      active.length === 0
        ? ""
        : `Training ${numbers} of ${runs.length}${atOnce}: ${list(active.map(shortName))}. The comparison continues after a reload.`;
    setText(byId("compare-status"), state);
  }

  /** Shows how far the runs are that train. */
  private progress(): void {
    for (const run of this.runs) {
      const place = document.querySelector(`#compare-table [data-run="${run.id}"]`);
      if (place) setText(place, showState(run));
    }
  }

  private draw(): void {
    const { runs } = this;
    const outcomes = compareRuns(runs);
    byId("compare-result").hidden = runs.length === 0;
    if (runs.length === 0) return;
    const [{ record, model }] = runs as [PageRun];
    const title = `Methods on ${dataName(record)}, ${model}`;
    byId("compare-table").replaceChildren(
      scrollArea("Comparison of methods", table(title, HEADER, comparisonRows(runs, outcomes))),
    );
    byId("compare-figure").hidden = outcomes.length === 0;
    if (outcomes.length > 0) this.chartPlace.replaceChildren(this.chart(outcomes));
    byId("compare-words").replaceChildren(...describeOutcomes(outcomes).map((text) => h("p", { class: "note" }, text)));
  }

  private chart(outcomes: readonly Outcome[]): SVGElement {
    const axis = AXES[this.axis.value]!;
    const points = outcomes.map(({ run, accuracy, interval }) => {
      const number = this.runs.indexOf(run) + 1;
      const color = MODES.indexOf(run.record.options.mode) + 1;
      return { number, name: shortName(run), color, x: axis.of(run.record), share: accuracy, interval };
    });
    const title = `Test accuracy with 95 % intervals over ${axis.title}. The table has the values.`;
    return scatter(points, axis, title, Math.max(300, this.chartPlace.clientWidth));
  }
}

function comparisonRows(runs: readonly PageRun[], outcomes: readonly Outcome[]) {
  return runs.map((run, i) => {
    const outcome = outcomes.find((one) => one.run === run);
    return [
      `${i + 1} ${shortName(run)}`,
      count(run.record.trainable),
      outcome
        ? h("span", {}, percent(outcome.accuracy), h("small", {}, between(outcome.interval)))
        : h("span", { "data-run": run.id }, showState(run)),
      outcome && showDuration(run.record.seconds),
      outcome && showBytes(run.record.saved),
      outcome?.words,
    ];
  });
}

/** The state of a run, and how far it is while it trains. */
function showState({ state, record: { step, steps } }: PageRun): string {
  return state === "training" ? `${STATES.training}, ${percent(step / steps, 0)}` : STATES[state];
}

const between = ({ low, high }: Outcome["interval"]) => `${(100 * low).toFixed(1)} to ${(100 * high).toFixed(1)}`;
