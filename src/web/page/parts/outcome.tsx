/** What the shown run has reached. */
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks } from "../../../views/components.tsx";
import { resultBlocks } from "../../../views/run.ts";
import { shown } from "../state/runs.ts";

export function OutcomeCard() {
  const record = shown.value?.record;
  return (
    <section id="outcome" class="card" aria-labelledby="outcome-title" hidden={!record?.results}>
      <h2 id="outcome-title">Result</h2>
      <div id="outcome-body">{record && <Blocks blocks={resultBlocks(record)} medium={IN_PAGE} />}</div>
    </section>
  );
}
