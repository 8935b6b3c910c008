/** What the shown run has reached, and what it learned, in figures. */
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks } from "../../../views/components.tsx";
import { resultBlocks } from "../../../views/run.ts";
import { hasAdapter, type PageRun, SEEDS } from "../../protocol.ts";
import { addSeeds, isTraining, shown } from "../runs/runs.ts";
import { useModule } from "../shared/hooks.tsx";
import { inPageWords } from "../shared/words.ts";
import { Course, curvesOf } from "./course.tsx";
import { view } from "./view.ts";

/** One that started from another run's adapter has no copy of it for others. */
const canAddSeeds = ({ state, comparison, record }: PageRun) =>
  state === "finished" && comparison === undefined && record.adapter === undefined && record.counts.rows[2]! > 0;

export function OutcomeCard() {
  const run = shown.value;
  const isShown = view.value === "result";
  return (
    <section id="outcome" class="card" aria-labelledby="outcome-title" hidden={!isShown}>
      <h2 id="outcome-title">Result</h2>
      {run && isShown && (
        <>
          <details id="course" open>
            <summary>How it was trained</summary>
            <Course run={run} curves={curvesOf(run)} />
          </details>
          {run.record.results && (
            <details open>
              <summary>All figures</summary>
              <div id="outcome-body">
                <Blocks blocks={resultBlocks(run.record)} medium={{ ...IN_PAGE, words: inPageWords }} />
                {canAddSeeds(run) && (
                  <button id="add-seeds" type="button" disabled={isTraining.value} onClick={() => addSeeds(run)}>
                    Train {SEEDS - 1} more seeds
                  </button>
                )}
              </div>
            </details>
          )}
        </>
      )}
    </section>
  );
}

/** Only when it is chosen, the code that shows it is loaded. */
export function LearnedCard() {
  const run = shown.value;
  const isShown = view.value === "learned";
  const loaded = useModule(isShown, () => import("./learned.tsx"));
  const changes = isShown && run && hasAdapter(run) && run.changes;
  return (
    <section id="learned" class="card" aria-labelledby="learned-title" hidden={!isShown}>
      <h2 id="learned-title">What it learned</h2>
      {loaded && changes && <loaded.Learned key={`${run.id} ${run.record.step}`} run={run} changes={changes} />}
    </section>
  );
}
