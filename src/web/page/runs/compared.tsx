/** What a comparison says: the table, the chart and the sentences of a study. Its code is loaded with the first one. */
import { useMemo } from "preact/hooks";
import { type Block, text } from "../../../document/blocks.ts";
import { percent } from "../../../format.ts";
import { describeMethod } from "../../../methods/training.ts";
import { compareWithBest, type MeasuredRun, measureRuns } from "../../../study/outcome.ts";
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks } from "../../../views/components.tsx";
import { judgedBy } from "../../../views/measures.ts";
import { comparisonTable, describeComparison, sizeFigure } from "../../../views/study/comparison.ts";
import type { PageRun } from "../../protocol.ts";
import { nameState, runData } from "../shared/words.ts";

/** The runs of a comparison in its order, with what is known of each. */
export function Compared({ runs }: { runs: readonly PageRun[] }) {
  const finished = runs.filter(({ state, record }) => state === "finished" && record.results?.after.val);
  // A bootstrap takes longer than the time between two reports of a run that trains.
  const results = useMemo(() => compareFinished(finished), [finished.map(({ id }) => id).join()]);
  return <Blocks blocks={comparisonBlocks(runs, results)} medium={IN_PAGE} />;
}

/** The outcomes of finished runs by their ids, and how they compare with the best. */
export function compareFinished(runs: readonly PageRun[]) {
  const outcomes = new Map(
    runs.map(({ id, record }) => [
      id,
      measureRuns(describeMethod(record.options), [record as MeasuredRun], judgedBy(record)),
    ]),
  );
  const all = [...outcomes.values()];
  const [first] = runs;
  return { outcomes, compared: first && compareWithBest(all, judgedBy(first.record)) };
}

/** The state of a run, and how far it is while it trains. */
function describeState({ state, record: { step, steps } }: PageRun): string {
  return state === "training" ? `training, ${percent(step / steps, 0)}` : nameState(state);
}

export function comparisonBlocks(
  runs: readonly PageRun[],
  { outcomes, compared }: ReturnType<typeof compareFinished>,
): Block[] {
  const [first] = runs as readonly [PageRun];
  const measure = judgedBy(first.record);
  const rows = runs.map((run, i) => ({
    label: `${i + 1} ${describeMethod(run.record.options)}`,
    outcome: outcomes.get(run.id),
    state: describeState(run),
    trainable: run.record.trainable,
  }));
  const table = comparisonTable(`Methods on ${runData(first)}, ${first.model}`, rows, measure, compared);
  if (!compared) return [table];
  const words =
    compared.tests.length > 0
      ? [describeComparison(compared, measure), "One run of each method: another seed moves them a little, too."]
      : [];
  const ordered = rows.map(({ outcome }) => outcome);
  return [table, sizeFigure(ordered, measure, true), ...words.map(text)];
}
