/** A comparison: the table, the chart and the sentences of a study. Its code is loaded with the first one. */
import { useMemo } from "preact/hooks";
import { joinWords, percent } from "../../../core/format.ts";
import { type Block, text } from "../../../document/blocks.ts";
import { describeMethod } from "../../../methods/training.ts";
import { compareWithBest, type MeasuredRun, measureRuns } from "../../../study/outcome.ts";
import { comparisonTable, describeComparison, sizeFigure } from "../../../study/report/comparison.ts";
import { describeRepeated } from "../../../study/report/seeds.ts";
import type { Measure } from "../../../tasks/compare.ts";
import { IN_PAGE } from "../../../views/charts/figure.tsx";
import { Blocks } from "../../../views/components.tsx";
import { judgedBy } from "../../../views/measures.ts";
import { areSeeds, type PageRun } from "../../protocol.ts";
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

type Outcomes = ReturnType<typeof compareFinished>["outcomes"];

function describeState({ state, record: { step, steps } }: PageRun): string {
  return state === "training" ? `training, ${percent(step / steps, 0)}` : nameState(state);
}

export function comparisonBlocks(
  runs: readonly PageRun[],
  { outcomes, compared }: ReturnType<typeof compareFinished>,
): Block[] {
  const [first] = runs as readonly [PageRun];
  const measure = judgedBy(first.record);
  if (areSeeds(runs)) return seedBlocks(runs, outcomes, measure);
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
  return [table, sizeFigure(ordered, measure, true), ...[...words, ...describeShort(runs)].map(text)];
}

function seedBlocks(runs: readonly PageRun[], outcomes: Outcomes, measure: Measure): Block[] {
  const [first] = runs as readonly [PageRun];
  const rows = runs.map((run) => ({
    label: `seed ${run.record.options.seed}`,
    outcome: outcomes.get(run.id),
    state: describeState(run),
  }));
  const trials = [...outcomes.values()].flatMap((outcome) => outcome.trials);
  const name = describeMethod(first.record.options);
  const words = trials.length > 1 ? [describeRepeated(measureRuns(name, trials, measure), measure)] : [];
  const table = comparisonTable(`Seeds of ${name}, on ${runData(first)}, ${first.model}`, rows, measure);
  return [table, ...[...words, ...describeShort(runs)].map(text)];
}

/** That runs were finished early: they are compared as they are. */
function describeShort(runs: readonly PageRun[]): string[] {
  const short = runs.filter(({ state, record }) => state === "finished" && record.epoch < record.options.epochs);
  const epochs = short.map(
    ({ record }) =>
      `run ${runs.findIndex((run) => run.record === record) + 1} after ${record.epoch.toFixed(1)} of ${record.options.epochs}`,
  );
  return short.length > 0
    ? [`Ended before their last epoch: ${joinWords(epochs)}. More training may change what they reach.`]
    : [];
}
