import type { LoadedDataset } from "../../data/datasets.ts";
import type { TrainingData } from "../../data/texts.ts";
import type { Block } from "../../document/blocks.ts";
import { joinWords, percent } from "../../format.ts";
import { countOf } from "../../io/common.ts";
import { formatRate } from "../../sweep/grid.ts";
import type { Measure } from "../../sweep/measure.ts";
import { finishedTrials, type Outcome } from "../../sweep/outcome.ts";
import { PUBLISHED_OF, PUBLISHED_ROWS, publishedAccuracy } from "../../sweep/published.ts";
import type { FinishedCell, TrialRecord } from "../../sweep/store.ts";
import type { MessagesObjective } from "../../tasks/index.ts";
import { isUnequal } from "../../train/class-weights.ts";
import type { TrainOptions } from "../../train/settings.ts";
import { asFlag } from "../terminal/flag-words.ts";

/** Each value once. */
const each = (values: readonly unknown[]) => joinWords([...new Set(values.map(String))]);

const SPLITS: Record<LoadedDataset["split"], string> = {
  random: "split at random",
  stratified: "split at random within each class",
  ordered: "split in their order",
  experiment: "in the experiment's own split",
  given: "split as they are given",
};

/** What is learned of messages. */
const LEARNED: Record<MessagesObjective, (labels: number) => string> = {
  classification: (labels) => `of ${labels} classes`,
  regression: () => "with a score",
  "multi-label": (labels) => `with any of ${labels} labels`,
};

function aboutData(data: TrainingData): string {
  if (data.objective === "lm") {
    const { train, val, test } = data.stats;
    const sizes = (of: (set: typeof train) => number) => [train, val, test].map(of).join(" / ");
    return (
      `Data: ${data.source}, ${sizes(({ documents }) => documents)} documents, ${sizes(({ rows }) => rows)} blocks of at most ` +
      `${data.maxLength} tokens and ${sizes(({ tokens }) => tokens)} tokens in the training / validation / test set.`
    );
  }
  const { train, val, test } = data.stats;
  return (
    `Data: ${data.source}, ${train.rows} training, ${val.rows} validation and ${test.rows} test messages ` +
    `${LEARNED[data.objective](data.labels.length)}, ${SPLITS[data.split]}.`
  );
}

/** What was done, in sentences. */
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
  const isLm = data.objective === "lm";
  const weighted = isUnequal(data) ? `, the loss weighted by class: ${option("classWeights")}` : "";
  const sentences = [
    `${aboutData(data)} All runs have the same split.`,
    `Training: ${trials.length} runs of ${all(({ trial }) => trial.model)} on ${all(({ device }) => device.name)}, with AdamW (weight decay ` +
      `${option("weightDecay")}), epochs: ${option("epochs")}, batches of ${option("batchSize")}, schedule ${option("schedule")} with a ` +
      `warm-up of ${option("warmup")}${isLm ? "" : `, pooling: ${option("pooling")}`}${weighted}. ` +
      (lora.length > 0
        ? `LoRA has scaling ${each(lora.map(({ scaling }) => scaling))} and init ${each(lora.map(({ init }) => init))}. `
        : "") +
      `Of each run the ${option("keep")} parameters count: best are those with the lowest validation loss.`,
    `Seeds: ${option("seed")}. A seed decides the initialization and the order of the ${isLm ? "blocks" : "messages"}.`,
    ...aboutRates(cells, outcomes),
    ...(about === undefined ? [] : [about]),
    measure.about.intervals,
    "All figures are also SVG files, all tables CSV files, in the folder figures; what each run made of the test set is linked from the last table.",
  ];
  return [{ kind: "heading", level: 2, text: "Method" }, ...sentences.map((text): Block => ({ kind: "text", text }))];
}

function aboutRates(cells: readonly FinishedCell[], outcomes: readonly Outcome[]): string[] {
  const shared = outcomes.filter(({ tried }) => tried.length === 0).map(({ lr }) => lr);
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
  const text = `Published figures are from ${PUBLISHED_OF}: one seed each, with the same ${PUBLISHED_ROWS} test rows and the same settings.`;
  return [{ kind: "text", text }];
}

/** A warning if messages of the test set have near-duplicates in the other sets. */
export function aboutLeaks(leaks: Uint32Array, data: TrainingData): Block[] {
  if (leaks.length === 0 || data.objective === "lm") return [];
  const { stats, test } = data;
  return [
    {
      kind: "note",
      text:
        `This split leaks: ${leaks.length} of the ${test.size} test messages (${percent(leaks.length / test.size)}) have a near-duplicate in the ` +
        `training or validation set, and ${stats.leaks.val} of the ${stats.val.rows} validation messages have one in the training set. ` +
        "Near-duplicates differ only in numbers, punctuation, white space and case. The test accuracy can therefore overestimate the accuracy " +
        `on new messages; the table of settings also reports it without these messages. ${asFlag("dedupe", "true")} drops near-duplicates before splitting.`,
    },
  ];
}
