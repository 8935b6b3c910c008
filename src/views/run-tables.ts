import type { LoadedDataset } from "../data/datasets.ts";
import type { TrainingData } from "../data/texts.ts";
import { againstColumns, type Cell, makeTable, messageColumns, type Table } from "../document/blocks.ts";
import type { TextLosses } from "../engine/evaluate.ts";
import { digits, formatCount, formatLoss, percent } from "../format.ts";
import type { Ranking } from "../measures.ts";
import { describeMethod, hasSetting } from "../methods/index.ts";
import type { PairSettings } from "../pair.ts";
import type { FileContent } from "../platform/reader.ts";
import type { RunRecord } from "../run/record.ts";
import { bestSeed } from "../run/seeds.ts";
import { type Confusion, confusionLookup, type Measured } from "../statistics.ts";
import type { Evaluation } from "../tasks/evaluation.ts";
import { hasValues } from "../tasks/index.ts";
import type { EvaluationRecord, TrainResult } from "../train/records.ts";
import type { ClassResults, Compared, Results, TestMessage, TestResults } from "../train/results.ts";
import { csvLines, tableToCsv } from "./csv.ts";
import { labelBaselines, labelsTable } from "./label-tables.ts";
import { LOSS, METRICS, type Metric, nameMetric } from "./metric.ts";
import { scoreBaselines } from "./score-tables.ts";
import { seedsTable } from "./seeds.ts";

/** A column that only CSV has. */
const csvOnly = <Row>(key: string, value: (row: Row) => Cell) => ({ title: null, key, value });

const SETS = ["train", "val", "test"] as const;

/** metrics.csv: a row for each run. The columns are those of the published results, then macro F1. */
export function metricsTable(records: readonly RunRecord[]): Table {
  const { objective = "classification" } = records[0] ?? {};
  const [main, other] = METRICS[objective];
  const at = (when: "before" | "after", set: keyof Results["before"], { key, of }: Metric) =>
    csvOnly<RunRecord>(
      `${when === "before" ? "pre" : "final"}_${set}_${key}`,
      ({ results }) => results && of(results[when][set]),
    );
  const end = [
    csvOnly<RunRecord>("train_loss_last", ({ evaluations }) => evaluations.at(-1)?.train?.loss),
    csvOnly<RunRecord>("val_loss_last", ({ evaluations }) => evaluations.at(-1)?.val.loss),
    csvOnly<RunRecord>("examples_seen", ({ examples }) => examples),
    csvOnly<RunRecord>("minutes", ({ seconds }) => seconds / 60),
  ];
  const columns = [
    csvOnly<RunRecord>("rank", ({ options }) => (hasSetting(options.mode, "rank") ? options.rank : null)),
    csvOnly<RunRecord>("alpha", ({ options }) => (hasSetting(options.mode, "alpha") ? options.alpha : null)),
    csvOnly<RunRecord>("trainable_layers", ({ options }) => options.mode),
    csvOnly<RunRecord>("lr", ({ options }) => options.lr),
    csvOnly<RunRecord>("weight_decay", ({ options }) => options.weightDecay),
    csvOnly<RunRecord>("num_epochs", ({ options }) => options.epochs),
    ...SETS.map((set) => at("before", set, main)),
    ...SETS.map((set) => at("after", set, main)),
    ...(objective === "lm"
      ? [at("after", "val", other), at("after", "test", other), ...end]
      : [...end, ...SETS.map((set) => at("after", set, other))]),
  ];
  return makeTable("metrics", "Metrics", columns, records);
}

/** losses.csv, and the page's table of evaluations. */
export function evaluationsTable({ evaluations, objective = "classification", unequal, options }: RunRecord): Table {
  const [main, other] = METRICS[objective];
  return makeTable<EvaluationRecord>(
    "losses",
    `Evaluations of ${describeMethod(options)}`,
    [
      csvOnly("step", ({ step }) => step),
      { title: "Epoch", key: "epoch", value: ({ epoch }) => epoch, format: digits(2) },
      {
        ...{ title: objective === "lm" ? "Blocks" : "Examples", key: "examples_seen", format: formatCount },
        value: ({ examples }) => examples,
      },
      csvOnly("lr", ({ lr }) => lr),
      { title: "Training loss", key: "train_loss", value: ({ train }) => train?.loss, format: formatLoss },
      { title: "Validation loss", key: "val_loss", value: ({ val }) => val.loss, format: formatLoss },
      {
        ...{ title: `Training ${nameMetric(main)}`, key: `train_${main.key}`, format: main.show },
        value: ({ train }) => train && main.of(train),
      },
      {
        ...{ title: `Validation ${nameMetric(main)}`, key: `val_${main.key}`, format: main.show },
        value: ({ val }) => main.of(val),
      },
      {
        ...{
          title: unequal || hasValues({ objective }) ? `Validation ${nameMetric(other)}` : null,
          key: `val_${other.key}`,
          format: other.show,
        },
        value: ({ val }) => other.of(val),
      },
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
  { objective, unequal, counts }: Pick<RunRecord, "objective" | "unequal" | "counts">,
  { before, after, parts }: Results,
): Table {
  const [trainRows, , testRows] = counts.rows as [number, number, number];
  // Of the training set as many rows are evaluated as the test set has.
  const isSampled = testRows < trainRows;
  const what = objective === "lm" ? "blocks" : "rows";
  const sample = isSampled
    ? `; training *: a sample of ${formatCount(testRows)} of ${formatCount(trainRows)} ${what}`
    : "";
  const names = { train: isSampled ? "Training *" : "Training", val: "Validation", test: "Test" };
  const rows = [
    ...SETS.map((set): Compare => ({ name: names[set], before: before[set], after: after[set] })),
    ...parts.map(({ name, ...part }): Compare => ({ name: `Test: ${name}`, before: null, after: part })),
  ];
  const [main, other] = METRICS[objective];
  const measures = [LOSS, main, ...(objective !== "classification" || unequal ? [other] : [])];
  const columns = measures.flatMap(({ key, title, of, show: format }) => [
    {
      ...{ title: `${title} before`, key: `${key}_before`, format },
      value: ({ before }: Compare) => before && of(before),
    },
    { title: "after", key: `${key}_after`, format, value: ({ after }: Compare) => of(after) },
  ]);
  return makeTable<Compare>(
    "results",
    `Before and after training${sample}`,
    [
      { title: "Set", key: "set", value: ({ name }) => name },
      {
        title: objective === "lm" ? "Tokens" : "Rows",
        key: "rows",
        value: ({ after }) => after.rows,
        format: formatCount,
      },
      ...columns,
    ],
    rows,
  );
}

export function confusionMatrix(labels: readonly string[], confusions: readonly Confusion[]): Table {
  const find = confusionLookup(confusions);
  const sums = labels.map((_, truth) => labels.reduce((sum, _, predicted) => sum + find(truth, predicted), 0));
  return makeTable<number>(
    "confusion",
    "Confusion matrix of the test set: true labels in rows, predictions in columns",
    [
      { title: "True label", key: "truth", value: (truth) => labels[truth] },
      ...labels.map((label, predicted) => ({
        ...{ title: label, key: `predicted ${label}` },
        value: (truth: number): Cell => {
          const value = find(truth, predicted);
          const tone = predicted === truth ? "right" : value > 0 ? "mistaken" : "none";
          return { value, share: sums[truth]! > 0 ? value / sums[truth]! : null, tone };
        },
      })),
    ],
    [...labels.keys()],
  );
}

/** Pairs of classes: all that occur in confusion.csv, the most frequent errors for people. */
export function confusionPairs(labels: readonly string[], confusions: readonly Confusion[], caption = ""): Table {
  return makeTable<Confusion>(
    "confusion",
    caption,
    [
      { title: "True label", key: "truth", value: ({ truth }) => labels[truth] },
      { title: "Predicted", key: "predicted", value: ({ predicted }) => labels[predicted] },
      { title: "Messages", key: "rows", value: ({ rows }) => rows, format: formatCount },
    ],
    confusions,
  );
}

const withInterval = (measured: Measured | null): Cell => measured && { value: measured.share, ...measured };

/** Precision, recall and F1, with Wilson's intervals. */
export function classesTable(classes: readonly (ClassResults & { label: string })[], caption = ""): Table {
  type Row = (typeof classes)[0];
  const column = (title: string, key: "precision" | "recall" | "f1") => ({
    ...({ title, key, interval: true, format: percent } as const),
    value: ({ [key]: measured }: Row) => withInterval(measured),
  });
  const isRanked = classes.some(({ ranking }) => ranking !== null);
  const area = (title: string, key: string, of: (one: Ranking) => number) => ({
    ...{ title: isRanked ? title : null, key, format: formatLoss },
    value: ({ ranking }: Row) => ranking && of(ranking),
  });
  const columns = [
    { title: "Class", key: "class", value: ({ label }: Row) => label },
    { title: "Rows", key: "rows", value: ({ rows }: Row) => rows, format: formatCount },
    csvOnly<Row>("predicted", ({ predicted }) => predicted),
    ...[column("Precision", "precision"), column("Recall", "recall"), column("F1", "f1")],
    area("ROC-AUC", "roc_auc", ({ rocAuc }) => rocAuc),
    area("PR-AUC", "pr_auc", ({ prAuc }) => prAuc),
  ];
  return makeTable("classes", caption, columns, classes);
}

/** The run compared with the baselines: each has its difference from the run, with interval and p. */
export function baselinesTable({ unequal }: Pick<RunRecord, "unequal">, { compared }: TestResults): Table {
  const [{ unseen, rows }] = compared;
  const copies = unseen
    ? `; no copies: without the ${formatCount(rows - unseen.rows)} rows with a near-duplicate in the training or validation set`
    : "";
  return makeTable<Compared>(
    "baselines",
    `This run and baselines on the test set, with 95 % intervals and McNemar's exact test${copies}`,
    [
      { title: "Classifier", key: "classifier", value: ({ name }) => name },
      csvOnly("rows", ({ rows }) => rows),
      csvOnly("correct", ({ correct }) => correct),
      {
        ...{ title: "Accuracy", key: "accuracy", interval: true, format: percent },
        value: ({ accuracy, interval }) => ({ value: accuracy, ...interval }),
      },
      {
        ...{ title: unseen ? "No copies" : null, key: "accuracy_no_copies", interval: true, format: percent },
        value: ({ unseen }) => unseen && { value: unseen.accuracy, ...unseen.interval },
      },
      { title: unequal ? "Macro F1" : null, key: "macro_f1", value: ({ macroF1 }) => macroF1, format: percent },
      csvOnly("balanced_accuracy", ({ balancedAccuracy }) => balancedAccuracy),
      csvOnly("mcc", ({ mcc }) => mcc),
      ...againstColumns("This run minus it", percent, "mcnemar_p"),
    ],
    compared,
  );
}

/** The run on the test set in single figures. */
export function measuresTable({ labels }: Pick<RunRecord, "labels">, { compared, ...test }: TestResults): Table {
  const [own] = compared;
  const of = test.positive === null ? "" : ` of ${labels[test.positive]}`;
  return makeTable<Compared>(
    "measures",
    `Measures of the test set${of ? "" : "; areas are means over the classes, each against the rest"}`,
    [
      csvOnly("accuracy", ({ accuracy }) => accuracy),
      {
        title: "Balanced accuracy",
        key: "balanced_accuracy",
        value: ({ balancedAccuracy }) => balancedAccuracy,
        format: percent,
      },
      { title: "Macro F1", key: "macro_f1", value: ({ macroF1 }) => macroF1, format: percent },
      { title: "MCC", key: "mcc", value: ({ mcc }) => mcc, format: digits(3) },
      { title: `ROC-AUC${of}`, key: "roc_auc", value: () => test.rocAuc, format: formatLoss },
      { title: `PR-AUC${of}`, key: "pr_auc", value: () => test.prAuc, format: formatLoss },
      {
        ...{ title: "Calibration error", key: "calibration_error", interval: true, format: percent },
        value: () => test.calibration.error,
      },
    ],
    [own],
  );
}

export function mistakesTable(mistakes: readonly TestMessage[], caption: string, pairs?: PairSettings): Table {
  return makeTable<TestMessage>(
    "mistakes",
    caption,
    [
      { title: "True label", key: "truth", value: ({ truth }) => truth },
      { title: "Predicted", key: "predicted", value: ({ predicted }) => predicted },
      { title: "Probability", key: "probability", value: ({ probability }) => probability, format: percent },
      ...messageColumns(pairs),
    ],
    mistakes,
  );
}

/** texts.csv: a language model's loss on each document or block of the test set, summed over its tokens, in nats. */
function textsTable({ of, tokens, bytes, loss }: TextLosses): Table {
  const word = of === "documents" ? "document" : "block";
  return makeTable<number>(
    "texts",
    "Texts of the test set",
    [
      csvOnly("text", (i) => `${word} ${i + 1}`),
      csvOnly("tokens", (i) => tokens[i]),
      csvOnly("bytes", (i) => bytes[i]),
      csvOnly("loss", (i) => loss[i]),
    ],
    [...loss.keys()],
  );
}

/** The CSV files of a run's directory. */
export function runTables(
  record: RunRecord,
  result: TrainResult,
  data: TrainingData,
): [name: string, content: FileContent][] {
  const { test, texts, scores, multiLabel } = record.results ?? {};
  const tables = [
    metricsTable([record]),
    evaluationsTable(record),
    ...(record.seeds && bestSeed(record.seeds.runs) ? [seedsTable(record, record.seeds)] : []),
    ...(test
      ? [
          confusionPairs(data.labels, test.confusions),
          classesTable(test.classes.map((one, i) => ({ ...one, label: data.labels[i]! }))),
          baselinesTable(record, test),
          measuresTable(record, test),
        ]
      : []),
    ...(texts ? [textsTable(texts)] : []),
    ...(scores ? [scoreBaselines(scores)] : []),
    ...(multiLabel
      ? [
          labelBaselines(multiLabel),
          labelsTable(multiLabel.labels.map((one, i) => ({ ...one, label: data.labels[i]! }))),
        ]
      : []),
  ];
  return [
    ...tables.map((table): [string, string] => [`${table.name}.csv`, tableToCsv(table)]),
    ...(record.results && data.objective !== "lm"
      ? [["predictions.csv", encode(csvLines(makePredictions(record, result, data)))] as [string, FileContent]]
      : []),
  ];
}

/** Characters that are written at a time. */
const CHUNK = 1 << 16;
/** Digits of a probability: logits have f32's. */
const DIGITS = 6;

/** Every row of the validation and test sets. Texts are decoded from their tokens when they are written. */
function predictionsTable({ valPredictions, predictions }: TrainResult, { labels, val, test, pairs }: LoadedDataset) {
  const texts = pairs ? ["text", "text_pair"] : ["text"];
  const keys = ["set", "row", ...texts, "truth", "predicted", ...labels.map((label) => `probability ${label}`)];
  function* rows(): Generator<Cell[]> {
    for (const [name, set, some] of [
      ["validation", val, valPredictions],
      ["test", test, predictions],
    ] as const)
      for (const { row, label, probabilities } of some) {
        const shares = Array.from(probabilities, (share) => Number(share.toPrecision(DIGITS)));
        const own = [set.text(row)].flat();
        yield [name, set.place(row) + 1, ...own, labels[set.label(row)], labels[label], ...shares];
      }
  }
  return { columns: keys.map((key) => ({ title: null, key })), rows: rows() };
}

function makePredictions({ results }: RunRecord, result: TrainResult, data: LoadedDataset) {
  if (data.objective === "classification") return predictionsTable(result, data);
  const { labels } = data;
  const k = labels.length;
  const { multiLabel } = results!;
  const thresholds = multiLabel?.labels.map(({ threshold }) => threshold);
  const named = (values: Float32Array, least = labels.map(() => 1)) =>
    labels.filter((_, i) => values[i]! >= least[i]!).join("|");
  const keys = thresholds ? labels.map((label) => `probability ${label}`) : [];
  function* rows(): Generator<Cell[]> {
    for (const [name, set, outputs] of [
      ["validation", data.val, result.outputs!.val],
      ["test", data.test, result.outputs!.test],
    ] as const)
      for (let row = 0; row < set.size; row++) {
        const [own, values] = [outputs.subarray(row * k, (row + 1) * k), set.values(row)];
        const shown = Array.from(own, (value) => Number(value.toPrecision(DIGITS)));
        const cells = thresholds ? [named(values), named(own, thresholds), ...shown] : [values[0], ...shown];
        yield [name, set.place(row) + 1, ...[set.text(row)].flat(), ...cells];
      }
  }
  const texts = data.pairs ? ["text", "text_pair"] : ["text"];
  const all = ["set", "row", ...texts, "truth", "predicted", ...keys];
  return { columns: all.map((key) => ({ title: null, key })), rows: rows() };
}

async function* encode(lines: Iterable<string>): AsyncGenerator<Uint8Array> {
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
