/** Compares methods: starts the runs of a comparison, and shows what they say together. */
import { computed } from "@preact/signals";
import { useRef } from "preact/hooks";
import { joinWords } from "../../../core/format.ts";
import { METHODS, MODES } from "../../../methods/index.ts";
import { comparedRuns, describeMethod, GUIDES, hasSetting } from "../../../methods/training.ts";
import { hasHead } from "../../../tasks/index.ts";
import { WORDS } from "../../../tasks/words.ts";
import { DEFAULTS } from "../../../train/options.ts";
import type { TrainOptions } from "../../../train/settings.ts";
import { areSeeds, isUnderWay, type PageRun } from "../../protocol.ts";
import { objective, report } from "../data/data.ts";
import { ErrorPlace } from "../shared/error.tsx";
import { useNextFocus } from "../shared/hooks.tsx";
import { model } from "../train/model.ts";
import { estimate, settings } from "../train/setup.ts";
import { Compared } from "./compared.tsx";
import {
  compared,
  compareError,
  continueComparison,
  current,
  finish,
  isTraining,
  startComparison,
  stop,
} from "./runs.ts";

/** The settings of the runs of a comparison, of the methods that the model has. */
const offered = computed(() => {
  const possible = (model.value?.modes ?? MODES).filter(
    (mode) => hasHead({ objective: objective.value }) || !METHODS[mode].classifiersOnly,
  );
  return comparedRuns(possible).map(({ settings }) => settings);
});

/** "LoRA rank 4", "last block": without a comma, for lists. */
function shortMethod(options: TrainOptions): string {
  const { mode, rank } = options;
  return hasSetting(mode, "rank") ? `${METHODS[mode].title} rank ${rank}` : describeMethod(options);
}

/** With fewer test rows, most differences of methods are within the intervals. */
const ENOUGH_TEST_ROWS = 50;

export function CompareCard() {
  const runs = compared.value;
  const isSmall = report.value?.error === null && report.value.testRows < ENOUGH_TEST_ROWS;
  const names = offered.value.map((settings) => shortMethod({ ...DEFAULTS, ...settings }));
  return (
    <section id="compare" class="card" aria-labelledby="compare-title">
      <h2 id="compare-title">Compare methods</h2>
      <p class="help">
        Trains on the chosen data and model, each at a learning rate that suits it: {joinWords(names)}, several at the
        same time where that is faster. All are tested on the same {WORDS[objective.value].units.many}.
      </p>
      {isSmall && (
        <p id="compare-small" class="help">
          Only {report.value!.testRows} {WORDS[objective.value].units.many} are for the test: too few to tell most
          methods apart.
        </p>
      )}
      <Controls />
      <ErrorPlace id="compare-error" report={compareError.value} />
      <div id="compare-result" hidden={runs.length === 0}>
        {runs.length > 0 && <Compared runs={runs} />}
      </div>
    </section>
  );
}

/** The run with which a comparison resumes: one that was interrupted or stopped, else the next that waits. */
function unfinished(runs: readonly PageRun[]): PageRun | undefined {
  const resumed = ["interrupted", "paused", "stopped"];
  return runs.find(({ state }) => resumed.includes(state)) ?? runs.find(({ state }) => state === "waiting");
}

function Controls() {
  const runs = compared.value;
  const active = runs.filter((run) => isUnderWay(run) || run.id === current.value?.id);
  const isOfSeeds = areSeeds(runs);
  const trained = runs.find(isUnderWay);
  const next = isTraining.value ? undefined : unfinished(runs);
  const ready = estimate.value ? settings.value : null;
  // Durations are in runs with LoRA on gpt2-micro.
  const all = offered.value.reduce((sum, { mode }) => sum + GUIDES[mode].duration, 0);
  const minutes = ready && ((all / GUIDES[ready.mode ?? DEFAULTS.mode].duration) * estimate.value!.seconds) / 60;
  const about = minutes === null ? "" : ` (about ${Math.max(1, Math.round(minutes))} min)`;
  const numbers = joinWords(active.map((run) => String(runs.indexOf(run) + 1)));
  const atOnce = active.length > 1 ? " at the same time" : "";

  const start = useRef<HTMLButtonElement>(null);
  const others = useRef<HTMLSpanElement>(null);
  useNextFocus(others, start);
  return (
    <div class="row">
      <button
        id="compare-start"
        ref={start}
        type="button"
        disabled={ready === null || isTraining.value}
        onClick={() => startComparison(ready!)}
      >
        Compare methods{about}
      </button>
      <span ref={others} class="row">
        <button id="compare-finish" type="button" hidden={!trained} onClick={() => finish(trained!)}>
          Finish now
        </button>
        <button id="compare-stop" type="button" hidden={active.length === 0} onClick={stop}>
          Stop the comparison
        </button>
        <button id="compare-continue" type="button" hidden={!next} onClick={() => continueComparison(next!)}>
          Continue the comparison
        </button>
      </span>
      <p id="compare-status" class="help grow" role="status">
        {active.length > 0 &&
          `Training ${numbers} of ${runs.length}${atOnce}: ${joinWords(active.map(({ record: { options } }) => (isOfSeeds ? `seed ${options.seed}` : shortMethod(options))))}. The comparison continues after a reload.`}
      </p>
    </div>
  );
}
