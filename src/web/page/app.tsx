/** The page: what to train on and how, the run that is shown with all that follows from it, and the other runs. */
import { CompareCard } from "./parts/compare.tsx";
import { DataCard } from "./parts/data.tsx";
import { TakeCard } from "./parts/download.tsx";
import { HowCard } from "./parts/how.tsx";
import { LearnedCard, OutcomeCard } from "./parts/outcome.tsx";
import { RunCard } from "./parts/run.tsx";
import { RunsCard } from "./parts/runs.tsx";
import { TrainCard } from "./parts/train.tsx";
import { TryCard } from "./parts/try.tsx";
import { WriteCard } from "./parts/write.tsx";

export function App() {
  return (
    <main>
      {/* Enter in a field applies its value; it does not start a run. */}
      <form id="setup" autocomplete="off" noValidate onSubmit={(event) => event.preventDefault()}>
        <DataCard />
        <TrainCard />
      </form>
      <div class="results">
        <RunCard />
        <TryCard />
        <WriteCard />
        <OutcomeCard />
        <LearnedCard />
        <TakeCard />
        <HowCard />
      </div>
      <div class="below">
        <CompareCard />
        <RunsCard />
      </div>
    </main>
  );
}
