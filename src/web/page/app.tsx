/** The page: what to train on and how, the run that is shown with all that follows from it, and the other runs. */
import { useSignal } from "@preact/signals";
import { useEffect } from "preact/hooks";
import { hasHead } from "../../tasks/index.ts";
import { CompareCard } from "./parts/compare.tsx";
import { DataCard } from "./parts/data.tsx";
import { TakeCard } from "./parts/download.tsx";
import { HowCard } from "./parts/how.tsx";
import { LearnedCard, OutcomeCard } from "./parts/outcome.tsx";
import { RunCard } from "./parts/run.tsx";
import { RunsCard } from "./parts/runs.tsx";
import { TrainCard } from "./parts/train.tsx";
import { TryCard } from "./parts/try.tsx";
import type { WriteCard } from "./parts/write.tsx";
import { objective } from "./state/data.ts";
import { writer } from "./state/runs.ts";

/** The card with what a model writes: its code is loaded when there is one that writes. */
function Writing() {
  const loaded = useSignal<{ WriteCard: typeof WriteCard } | null>(null);
  const isWanted = !hasHead({ objective: objective.value }) || writer.value !== null;
  useEffect(() => {
    const load = async () => {
      loaded.value = await import("./parts/write.tsx");
    };
    if (isWanted) void load();
  }, [isWanted]);
  return loaded.value && <loaded.value.WriteCard hidden={!isWanted} />;
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
