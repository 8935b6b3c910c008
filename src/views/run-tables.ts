import { capital, digits, formatCount, formatLoss } from "../core/format.ts";
import { aboutHolm } from "../core/statistics.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { LoadedTagged } from "../data/text/tagged.ts";
import type { TrainingData } from "../data/training-data.ts";
import { againstColumns, type Cell, makeTable, type RowColumn, type Table } from "../document/blocks.ts";
import { describeMethod, hasSetting } from "../methods/training.ts";
import type { FileContent } from "../platform/reader.ts";
import type { RunRecord } from "../record/record.ts";
import type { Compared, Measure } from "../tasks/compare.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { DEFAULT_OBJECTIVE } from "../tasks/index.ts";
import type { Answer } from "../tasks/predictions.ts";
import type { Answered, Results } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { WORDS } from "../tasks/words.ts";
import type { EvaluationRecord, TrainResult } from "../train/records.ts";
import { csvLines } from "./csv.ts";
import { isShown, LOSS, nameMeasure, readMeasure, shownMeasures } from "./measures.ts";

/** A column that only CSV has. */
const csvOnly = <Row>(key: string, value: (row: Row) => Cell) => ({ title: null, key, value });

const SETS = ["train", "val", "test"] as const;

/** The columns of a run in metrics.csv. */
type MetricsRecord = Pick<RunRecord, "objective" | "options" | "evaluations" | "examples" | "seconds"> & {
  results: Pick<Results, "before" | "after"> | null;
};

/**
 * metrics.csv of a study: a row for each run. The columns are those of the published results, then the second measure.
 */
export function metricsTable(records: readonly MetricsRecord[]): Table {
  const [main, other] = TRAINING[records[0]?.objective ?? DEFAULT_OBJECTIVE].measures;
  const at = (when: "before" | "after", measure: Measure) =>
    SETS.map((set) =>
      csvOnly<MetricsRecord>(
        `${when === "before" ? "pre" : "final"}_${set}_${measure.key}`,
        ({ results }) => results?.[when][set] && readMeasure(measure, results[when][set]),
      ),
    );
  const columns = [
    csvOnly<MetricsRecord>("rank", ({ options }) => (hasSetting(options.mode, "rank") ? options.rank : null)),
    csvOnly<MetricsRecord>("alpha", ({ options }) => (hasSetting(options.mode, "alpha") ? options.alpha : null)),
    csvOnly<MetricsRecord>("trainable_layers", ({ options }) => options.mode),
    csvOnly<MetricsRecord>("lr", ({ options }) => options.lr),
    csvOnly<MetricsRecord>("weight_decay", ({ options }) => options.weightDecay),
    csvOnly<MetricsRecord>("num_epochs", ({ options }) => options.epochs),
    ...[...at("before", main), ...at("after", main)],
    csvOnly<MetricsRecord>("train_loss_last", ({ evaluations }) => evaluations.at(-1)?.train?.loss),
    csvOnly<MetricsRecord>("val_loss_last", ({ evaluations }) => evaluations.at(-1)?.val.loss),
    csvOnly<MetricsRecord>("examples_seen", ({ examples }) => examples),
    csvOnly<MetricsRecord>("minutes", ({ seconds }) => seconds / 60),
    ...at("after", other),
  ];
  return makeTable("metrics", "Metrics", columns, records);
}

/** All evaluations of a run. */
export function evaluationsTable(record: RunRecord): Table {
  const { evaluations, objective, options } = record;
  const [main, other] = TRAINING[objective].measures;
  const seen = WORDS[objective].units.seen;
  const column = (set: "train" | "val", measure: Measure, title: string | null) => ({
    title: title && `${title} ${nameMeasure(measure)}`,
    key: `${set}_${measure.key}`,
    format: measure.format,
    value: ({ [set]: evaluation }: EvaluationRecord) => evaluation && readMeasure(measure, evaluation),
  });
  return makeTable<EvaluationRecord>(
    "losses",
    `Evaluations of ${describeMethod(options)}`,
    [
      csvOnly("step", ({ step }) => step),
      { title: "Epoch", key: "epoch", value: ({ epoch }) => epoch, format: digits(2) },
      {
        title: capital(seen),
        key: "examples_seen",
        format: formatCount,
        value: ({ examples }) => examples,
      },
      csvOnly("lr", ({ lr }) => lr),
      { title: "Training loss", key: "train_loss", value: ({ train }) => train?.loss, format: formatLoss },
      { title: "Validation loss", key: "val_loss", value: ({ val }) => val.loss, format: formatLoss },
      column("train", main, "Training"),
      column("val", main, "Validation"),
      column("val", other, isShown(other, record) ? "Validation" : null),
      csvOnly("grad_norm", ({ train }) => train?.norm),
    ],
    evaluations,
  );
}

interface Compare {
  name: string;
  before: Evaluation | null;
  after: Evaluation;
}

/** The sets before and after training, and the parts of the test set. */
export function beforeAndAfter(
  record: Pick<RunRecord, "objective" | "unequal" | "counts" | "folds">,
  { before, after, parts }: Results,
): Table {
  const [trainRows, , testRows] = record.counts.rows as [number, number, number];
  const { units } = WORDS[record.objective];
  // Of the training set as many rows are evaluated as the test set has.
  const isSampled = record.folds === undefined && testRows < trainRows;
  const sample = isSampled
    ? `; training *: a sample of ${formatCount(testRows)} of ${formatCount(trainRows)} ${units.rows}`
    : record.folds === undefined
      ? ""
      : `; means of ${record.folds} folds, which together have tested all ${units.rows}`;
  const names = { train: isSampled ? "Training *" : "Training", val: "Validation", test: "Test" };
  const rows = [
    ...SETS.flatMap((set): Compare[] => {
      const evaluation = after[set];
      return evaluation ? [{ name: names[set], before: before[set], after: evaluation }] : [];
    }),
    ...parts.map(({ name, ...part }): Compare => ({ name: `Test: ${name}`, before: null, after: part })),
  ];
  const columns = [LOSS, ...shownMeasures(record)].flatMap((figure) => {
    const { title, key, format } = figure;
    return [
      {
        title: `${title} before`,
        key: `${key}_before`,
        format,
        value: ({ before }: Compare) => before && readMeasure(figure, before),
      },
      { title: "after", key: `${key}_after`, format, value: ({ after }: Compare) => readMeasure(figure, after) },
    ];
  });
  return makeTable<Compare>(
    "results",
    `Before and after training${sample}`,
    [
      { title: "Set", key: "set", value: ({ name }) => name },
      { title: capital(units.counted), key: "rows", value: ({ after }) => after.rows, format: formatCount },
      ...columns,
    ],
    rows,
  );
}

/** The run compared with its baselines: each has its difference from the run, with interval and p. */
export function baselinesTable(record: Pick<RunRecord, "objective" | "unequal">, { test }: Results): Table[] {
  const { compared } = test;
  const [{ unseen, rows }] = compared;
  const { measures } = TRAINING[record.objective];
  const [main] = measures;
  const { statistics } = main;
  if (compared.length === 1 || !statistics) return [];
  const copies = unseen
    ? `; no copies: without the ${formatCount(rows - unseen.rows)} rows with a near-duplicate in the training or validation set`
    : "";
  const [first, ...others] = measures.map((measure): RowColumn<Compared> => {
    const { title, key, format, statistics } = measure;
    return {
      title: isShown(measure, record) ? title : null,
      key,
      format,
      ...(statistics ? { interval: true } : {}),
      value: ({ measured }) => measured[key],
    };
  });
  return [
    makeTable<Compared>(
      "baselines",
      `This run and baselines on the test set, with 95 % intervals and ${statistics.name} of the ${nameMeasure(main)}${aboutHolm(compared.length - 1)}${copies}`,
      [
        { title: "Model", key: "model", value: ({ name }) => name },
        csvOnly("rows", ({ rows }) => rows),
        first!,
        {
          title: unseen ? "No copies" : null,
          key: `${main.key}_no_copies`,
          interval: true,
          format: main.format,
          value: ({ unseen }) => unseen,
        },
        ...others,
        ...againstColumns("This run minus it", main.format, statistics.key),
      ],
      compared,
    ),
  ];
}

/** predictions.csv; nothing where there are no answers. */
export function predictionsFile(
  { answers }: Pick<TrainResult, "answers">,
  data: TrainingData,
): [name: string, content: FileContent][] {
  if (!answers) return [];
  // It is read twice.
  const lines = () => encode(csvLines(predictionsTable(answers, data as LoadedDataset | LoadedTagged)));
  return [["predictions.csv", { [Symbol.asyncIterator]: lines }]];
}

/** Characters that are written at a time. */
const CHUNK = 1 << 16;
/** Digits of a number: logits have f32's. */
const DIGITS = 6;

export const roundAnswer = (value: number) => Number(value.toPrecision(DIGITS));
const showAnswer = (answer: Answer): Cell =>
  typeof answer === "object" ? answer.join("|") : typeof answer === "number" ? roundAnswer(answer) : answer;

/** Every row of the validation and test sets. Texts are decoded from their tokens when they are written. */
function predictionsTable(answers: NonNullable<TrainResult["answers"]>, data: LoadedDataset | LoadedTagged) {
  function* rows(): Generator<Cell[]> {
    for (const [name, set, answered] of [
      ["validation", data.val, answers.val],
      ["test", data.test, answers.test],
    ] as const)
      for (let row = 0; answered && row < set.size; row++) yield [name, ...answerCells(set, answered, row)];
  }
  return { columns: asColumns(["set", ...answerKeys(data, answers.test)]), rows: rows() };
}

/** Columns that only CSV has. */
export const asColumns = (keys: readonly string[]) => keys.map((key) => ({ title: null, key }));

export function answerKeys(data: LoadedDataset | LoadedTagged, { probabilities }: Answered): string[] {
  const texts = "pairs" in data && data.pairs ? ["text", "text_pair"] : ["text"];
  return ["row", ...texts, "truth", "predicted", ...(probabilities ? data.labels.map(probabilityKey) : [])];
}

export const probabilityKey = (label: string) => `probability ${label}`;

export function answerCells(
  set: Pick<LoadedDataset["test"], "place" | "text">,
  { truth, predicted, probabilities }: Answered,
  row: number,
): Cell[] {
  const k = (probabilities?.length ?? 0) / truth.length;
  const shares = Array.from({ length: k }, (_, i) => roundAnswer(probabilities![row * k + i]!));
  return [set.place(row) + 1, ...[set.text(row)].flat(), ...[truth[row]!, predicted[row]!].map(showAnswer), ...shares];
}

/** Lines as bytes, some at a time. */
export async function* encode(lines: Iterable<string>): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  let chunk = "";
  for (const line of lines) {
    chunk += line;
    if (chunk.length < CHUNK) continue;
    yield encoder.encode(chunk);
    chunk = "";
  }
  yield encoder.encode(chunk);
}
