import { formatCount, joinWords } from "../../core/format.ts";
import { SAMPLES } from "../../core/statistics.ts";
import type { LoadedDataset } from "../../data/datasets.ts";
import { describeCopies } from "../../data/problems.ts";
import { hasSettingOf } from "../../data/settings.ts";
import type { TrainingData } from "../../data/training-data.ts";
import { type Block, heading, note, text } from "../../document/blocks.ts";
import { countOf } from "../../io/common.ts";
import { takesSteps } from "../../methods/index.ts";
import { countRows, type Measure, type Statistics } from "../../tasks/compare.ts";
import { WORDS } from "../../tasks/words.ts";
import { isUnequal } from "../../train/class-weights.ts";
import { leakedRows } from "../../train/measure.ts";
import type { TrainOptions } from "../../train/settings.ts";
import { nameMeasure } from "../../views/measures.ts";
import { asFlag } from "../../views/terminal/flag-words.ts";
import { formatRate } from "../grid.ts";
import { finishedTrials, type Outcome } from "../outcome.ts";
import { PUBLISHED_OF, PUBLISHED_ROWS, publishedAccuracy } from "../published.ts";
import type { FinishedCell, TrialRecord } from "../store.ts";

/** Values that a sentence lists. */
const LISTED = 12;

/** Each value once; of many the first ones. */
function each(values: readonly unknown[]): string {
  const unique = [...new Set(values.map(String))];
  const more = unique.length - LISTED;
  return joinWords(more > 1 ? [...unique.slice(0, LISTED), `${formatCount(more)} others`] : unique);
}

const SPLITS: Record<LoadedDataset["split"], string> = {
  random: "split at random",
  stratified: "split at random within each class",
  ordered: "split in their order",
  experiment: "in the experiment's own split",
  given: "split as they are given",
};

/** How intervals and comparisons are made; `what`: the rows of the test set, as they are called. */
export const ABOUT: Record<
  Statistics["key"],
  { intervals(rows: number, what: string): string; comparisons(what: string): string }
> = {
  mcnemar_p: {
    intervals: (rows, what) =>
      `Their 95 % intervals are Wilson's for ${rows} test ${what}, of which one is ${(100 / rows).toFixed(1)} percentage points; ` +
      "more seeds do not narrow them. sd is the standard deviation over the seeds.",
    comparisons: (what) =>
      `McNemar's exact test on the same test ${what}. Each is decided by the majority of the seeds; one that exactly half of ` +
      "a setting's seeds answer correctly is undecided, and excluded from its comparisons. The difference has " +
      "Newcombe's 95 % interval for pairs, of one comparison alone",
  },
  bootstrap_p: {
    intervals: (rows, what) =>
      `Their 95 % intervals are percentiles of the bootstrap: ${SAMPLES.interval} seeded samples of the ${formatCount(rows)} test ` +
      `${what}, drawn with replacement. sd is the standard deviation over the seeds.`,
    comparisons: (what) =>
      `the paired bootstrap: the difference on up to ${SAMPLES.p} seeded samples of the same test ${what}, with an interval of one comparison alone`,
  },
};

function aboutData(data: TrainingData): string {
  const { train, val, test } = data.stats;
  const { units, learned } = WORDS[data.objective];
  const sizes = (key: string) => [train, val, test].map(({ [key as "rows"]: size }) => size).join(" / ");
  return learned
    ? `Data: ${data.source}, ${train.rows} training, ${val.rows} validation and ${test.rows} test ${units.many} ` +
        `${learned(data.labels.length)}${data.split ? `, ${SPLITS[data.split]}` : ""}.`
    : `Data: ${data.source}, ${sizes("documents")} documents, ${sizes("rows")} blocks of at most ` +
        `${data.maxLength} tokens and ${sizes("tokens")} tokens in the training / validation / test set.`;
}

/** The methods section, in sentences. */
export function method(
  cells: readonly FinishedCell[],
  outcomes: readonly Outcome[],
  data: TrainingData,
  measure: Measure,
  about: string | undefined,
): Block[] {
  const trials = finishedTrials(cells);
  const all = <T>(of: (trial: TrialRecord) => T) => each(trials.map(of));
  const option = (key: keyof TrainOptions) => all(({ options }) => options[key]);
  const lora = trials.filter(({ options }) => options.mode === "lora").map(({ options }) => options);
  const { units, drawn } = WORDS[data.objective];
  const { rows, details } = trials[0]!.results.test;
  const { rows: what, why } = drawn(details);
  const weighted = isUnequal(data) ? `, the loss weighted by class: ${option("classWeights")}` : "";
  const sentences = [
    `${aboutData(data)} All runs have the same split.`,
    `Training: ${formatCount(trials.length)} runs of ${all(({ trial }) => trial.model)} on ${all(({ device }) => device.name)}, with AdamW (weight decay ` +
      `${option("weightDecay")}), epochs: ${option("epochs")}, batches of ${option("batchSize")}, schedule ${option("schedule")} with a ` +
      `warm-up of ${option("warmup")}${hasSettingOf(data.objective, "pooling") ? `, pooling: ${option("pooling")}` : ""}${weighted}. ` +
      (lora.length > 0
        ? `LoRA has scaling ${each(lora.map(({ scaling }) => scaling))} and init ${each(lora.map(({ init }) => init))}. `
        : "") +
      `Of each run the ${option("keep")} parameters count: best are those with the lowest validation loss.`,
    `Seeds: ${option("seed")}. A seed decides the initialization and the order of the ${units.many}.`,
    ...aboutRates(cells, outcomes),
    ...(about === undefined ? [] : [about]),
    [
      `Figures of the test set are means over the seeds. ${ABOUT[measure.statistics!.key].intervals(countRows(rows), what)}`,
      why,
    ]
      .flatMap((one) => one ?? [])
      .join(" "),
  ];
  return [heading("Method"), ...sentences.map(text)];
}

function aboutRates(cells: readonly FinishedCell[], outcomes: readonly Outcome[]): string[] {
  const shared = outcomes
    .filter(({ tried, mode }) => tried.length === 0 && takesSteps(mode))
    .map(({ lr }) => lr)
    .sort((a, b) => a - b);
  const choosing = cells.filter(({ rates }) => rates.length > 1);
  const waiting = choosing.filter(({ missing }) => missing.length > 0);
  const [first] = choosing;
  return [
    ...(shared.length > 0
      ? [`Learning rate${new Set(shared).size > 1 ? "s" : ""} given: ${each(shared.map(formatRate))}.`]
      : []),
    ...(first
      ? [
          `Learning rates chosen: each of ${countOf(choosing, "setting")} was trained with seed ${first.rates[0]![0]!.options.seed} at each of ` +
            `${first.rates.length} rates. Its rate is the one with the lowest validation loss. ` +
            "The other seeds were trained at that rate. The test set chose nothing." +
            (waiting.length > 0
              ? ` ${countOf(waiting, "setting")} whose rates are not all trained yet are left out.`
              : ""),
        ]
      : []),
  ];
}

export function aboutPublished(outcomes: readonly Outcome[], data: TrainingData): Block[] {
  if (outcomes.every((outcome) => publishedAccuracy(outcome, data) === undefined)) return [];
  return [
    text(
      `Published figures are from ${PUBLISHED_OF}: one seed each, with the same ${PUBLISHED_ROWS} test rows and the same settings.`,
    ),
  ];
}

/** Where near-duplicates are; a warning if messages of the test set have some in the other sets. */
export function aboutLeaks(data: TrainingData, measure: Measure): Block[] {
  const copies = describeCopies(data.stats);
  if (leakedRows(data).size === 0) return copies.map(text);
  return [
    note(
      `This split leaks: ${copies}. Near-duplicates differ only in numbers, punctuation, white space and case. The table of ` +
        `settings also reports the test ${nameMeasure(measure)} without them; ${asFlag("dedupe", "true")} drops them.`,
    ),
  ];
}
