/** What a comparison says: the table, the chart and the sentences of a study. Its code is loaded with the first one. */
import { type Block, text } from "../../../document/blocks.ts";
import { percent } from "../../../format.ts";
import { describeMethod } from "../../../methods/training.ts";
import { compareWithBest, type MeasuredRun, measureRuns } from "../../../study/outcome.ts";
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks } from "../../../views/components.tsx";
import { judgedBy } from "../../../views/measures.ts";
import { comparisonTable, describeComparison, sizeFigure } from "../../../views/study/comparison.ts";
import type { PageRun } from "../../protocol.ts";
import { nameState, runData } from "../words.ts";

/** The runs of a comparison in its order, with what is known of each. */
export function Compared({ runs }: { runs: readonly PageRun[] }) {
  return <Blocks blocks={comparisonBlocks(runs)} medium={IN_PAGE} />;
}

/** The state of a run, and how far it is while it trains. */
function describeState({ state, record: { step, steps } }: PageRun): string {
  return state === "training" ? `training, ${percent(step / steps, 0)}` : nameState(state);
}

export function comparisonBlocks(runs: readonly PageRun[]): Block[] {
  const [first] = runs as readonly [PageRun];
  const measure = judgedBy(first.record);
  const outcomes = runs.map(({ state, record }) =>
    state === "finished" && record.results
      ? measureRuns(describeMethod(record.options), [record as MeasuredRun], measure)
      : undefined,
  );
  const rows = runs.map((run, i) => ({
    label: `${i + 1} ${describeMethod(run.record.options)}`,
    outcome: outcomes[i],
    state: describeState(run),
    trainable: run.record.trainable,
  }));
  const caption = `Methods on ${runData(first)}, ${first.model}`;
  const finished = outcomes.flatMap((one) => one ?? []);
  if (finished.length === 0) return [comparisonTable(caption, rows, measure)];
  const compared = compareWithBest(finished, measure);
  const words =
    finished.length > 1
      ? [describeComparison(compared, measure), "One run of each method: another seed moves them a little, too."]
      : [];
  return [comparisonTable(caption, rows, measure, compared), sizeFigure(outcomes, measure, true), ...words.map(text)];
}
