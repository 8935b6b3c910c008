/** The page: what to train on and how, the run that is shown with all that follows from it, and the other runs. */
import { hasHead } from "../../tasks/index.ts";
import { useModule } from "./parts/common.tsx";
import { CompareCard } from "./parts/compare.tsx";
import { DataCard } from "./parts/data.tsx";
import { TakeCard } from "./parts/download.tsx";
import { HowCard } from "./parts/how.tsx";
import { LearnedCard, OutcomeCard } from "./parts/outcome.tsx";
import { RunCard } from "./parts/run.tsx";
import { RunsCard } from "./parts/runs.tsx";
import { TrainCard } from "./parts/train.tsx";
import { TryCard } from "./parts/try.tsx";
import { objective } from "./state/data.ts";
import { writer } from "./state/runs.ts";

/** The card with what a model writes: its code is loaded when there is one that writes. */
function Writing() {
  const isWanted = !hasHead({ objective: objective.value }) || writer.value !== null;
  const loaded = useModule(isWanted, () => import("./parts/write.tsx"));
  return loaded && <loaded.WriteCard hidden={!isWanted} />;
}

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
    </main>
  );
}
