/** On a phone the bar at the bottom: trains, says how far it is, leads to where the run is tried. */
import { formatDuration, percent } from "../../../core/format.ts";
import { isUnderWay } from "../../protocol.ts";
import { shown, speed } from "../runs/runs.ts";
import { goTo } from "../shared/scroll.ts";
import { canStart, start } from "../train/setup.ts";
import { goToTrial, views } from "./view.ts";

export function NextBar() {
  const run = shown.value;
  const isTraining = run !== null && isUnderWay(run);
  const canTry = "try" in views.value || "write" in views.value;
  return (
    <div id="next" hidden={!isTraining && !canTry && !canStart.value}>
      {isTraining && <progress aria-hidden="true" max={run.record.steps || 1} value={run.record.step} />}
      <div class="row">
        {isTraining && (
          <button type="button" class="grow" onClick={() => goTo("training")}>
            Training, {percent(run.record.step / (run.record.steps || 1), 0)}
            {speed.value && `, ${formatDuration(speed.value.secondsLeft)} left`}
          </button>
        )}
        {!isTraining && canStart.value && (
          <button type="button" class={run ? "grow" : "grow primary"} onClick={start}>
            {run ? "Train again" : "Train"}
          </button>
        )}
        {canTry && (
          <button type="button" class={run && !isTraining ? "grow primary" : "grow"} onClick={goToTrial}>
            Try it
          </button>
        )}
      </div>
    </div>
  );
}
