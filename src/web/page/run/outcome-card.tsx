/** What the shown run has reached, and what it learned. */
import { useSignal } from "@preact/signals";
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks } from "../../../views/components.tsx";
import { answerBlocks, resultBlocks } from "../../../views/run.ts";
import { hasAdapter } from "../../protocol.ts";
import { shown } from "../runs/runs.ts";
import type { Learned } from "./learned.tsx";

export function OutcomeCard() {
  const record = shown.value?.record;
  return (
    <section id="outcome" class="card" aria-labelledby="outcome-title" hidden={!record?.results}>
      <h2 id="outcome-title">Result</h2>
      <div id="outcome-body">
        {record && <Blocks blocks={[...answerBlocks(record), ...resultBlocks(record)]} medium={IN_PAGE} />}
      </div>
    </section>
  );
}

/** Only when it is opened, the code that shows it is loaded. */
export function LearnedCard() {
  const run = shown.value;
  const changes = run && hasAdapter(run) && run.changes;
  const loaded = useSignal<{ Learned: typeof Learned } | null>(null);
  const toggle = async ({ currentTarget: { open } }: { currentTarget: HTMLDetailsElement }) => {
    loaded.value = open ? await import("./learned.tsx") : null;
  };
  return (
    <section id="learned" class="card" aria-labelledby="learned-title" hidden={!changes}>
      <details onToggle={toggle}>
        <summary>
          <h2 id="learned-title">What it learned</h2>
        </summary>
        {loaded.value && changes && (
          <loaded.value.Learned key={`${run.id} ${run.record.step}`} run={run} changes={changes} />
        )}
      </details>
    </section>
  );
}
