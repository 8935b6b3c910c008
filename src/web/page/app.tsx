/** The page: what to train on and how, the run that is shown with all that follows from it, and the other runs. */
import { hasHead } from "../../tasks/index.ts";
import { objective } from "./data/data.ts";
import { DataCard } from "./data/data-card.tsx";
import { NextBar } from "./run/next-bar.tsx";
import { LearnedCard, OutcomeCard } from "./run/outcome-card.tsx";
import { RunCard } from "./run/run-card.tsx";
import { TakeCard } from "./run/take-card.tsx";
import { view, views } from "./run/view.ts";
import { CompareCard } from "./runs/compare-card.tsx";
import { writer } from "./runs/runs.ts";
import { RunsCard } from "./runs/runs-card.tsx";
import { Choices } from "./shared/controls.tsx";
import { useFit } from "./shared/hooks.tsx";
import { HowCard } from "./train/how-card.tsx";
import { TrainCard } from "./train/train-card.tsx";
import { TryCard } from "./try/try-card.tsx";
import { WriteCard } from "./write/write-card.tsx";

/** The card with what a model writes, if there is one that writes. */
function Writing() {
  const isWanted = !hasHead({ objective: objective.value }) || writer.value !== null;
  return isWanted && <WriteCard hidden={writer.value !== null && view.value !== "write"} />;
}

/** The views of the shown run, once it has left more than one thing. */
function Views() {
  if (Object.keys(views.value).length < 2) return null;
  return (
    <div id="views">
      <Choices name="view" kind="tabs" label="What to see of the run" options={views.value} chosen={view} />
    </div>
  );
}

export function App() {
  const steps = useFit();
  return (
    <main>
      {/* Enter in a field applies its value; it does not start a run. */}
      <form id="setup" autocomplete="off" noValidate onSubmit={(event) => event.preventDefault()}>
        <div class="steps" ref={steps}>
          <DataCard />
          <TrainCard />
        </div>
      </form>
      <div class="results">
        <RunCard />
        <Views />
        <TryCard hidden={view.value !== "try"} />
        <Writing />
        <OutcomeCard />
        <LearnedCard />
        <TakeCard />
        <HowCard />
      </div>
      <div class="below">
        <CompareCard />
        <RunsCard />
      </div>
      <NextBar />
    </main>
  );
}
