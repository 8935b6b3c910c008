/** The page of a run, one file: what it is and how good, what it gets wrong, how it was made, how it is used. */

import { describeDevice } from "../backend/backend.ts";
import { formatCount, formatDuration, formatShare } from "../core/format.ts";
import { shellWord } from "../core/quote.ts";
import type { TrainingData } from "../data/training-data.ts";
import { type Block, code, details, figure, heading, note, type Table, text } from "../document/blocks.ts";
import { METHODS } from "../methods/index.ts";
import { formatBytes } from "../plan/memory.ts";
import type { FileContent } from "../platform/reader.ts";
import { fileName, REPORT, type RunRecord } from "../record/record.ts";
import { hasHead } from "../tasks/index.ts";
import type { Results } from "../tasks/task.ts";
import { usageOf, WORDS } from "../tasks/words.ts";
import type { TrainResult } from "../train/records.ts";
import { type Fact, factsTable } from "./card.ts";
import { dataBlocks } from "./data.ts";
import { toHtml } from "./html.tsx";
import { answerBlocks, notes, useCommands } from "./run.ts";
import { runCharts } from "./run-charts.ts";
import { baselinesTable, beforeAndAfter, evaluationsTable, predictionsFile } from "./run-tables.ts";
import { isBeatenByWords } from "./verdicts.ts";

/** report.html */
export const runReport = (record: RunRecord, result: Kept, data: TrainingData): string =>
  toHtml(reportTitle(record), reportBlocks(record, result, data));

export const reportTitle = (record: RunRecord) => `Lowrank: ${describeTask(record)}`;

/** Other usable files of a run's directory. */
type Kept = Pick<TrainResult, "classic">;

/** What a report of folds has in addition: behind its use, and of how it was made. */
interface Additions {
  review?: readonly Block[];
  made?: readonly Block[];
}

export function reportBlocks(
  record: RunRecord,
  { classic }: Kept,
  data: TrainingData,
  { review = [], made = [] }: Additions = {},
): Block[] {
  const { results } = record;
  return [
    heading(`A model that ${describeTask(record)}`, 1),
    ...answerBlocks(record),
    ...notes(record).map(note),
    heading("How it is used"),
    ...using(record, classic !== null),
    ...review,
    ...(results ? resultSections(record, results) : []),
    heading("How it was made"),
    ...made,
    ...making(record, data),
  ];
}

/** "classifies messages as ham or spam" */
function describeTask({ objective, labels, pairs, chat }: RunRecord): string {
  return usageOf(objective, chat === true).does(pairs ? "pairs of texts" : "messages", labels);
}

/** Of a folder its last part: the rest is its owner's own. */
const baseName = ({ model, revision }: RunRecord) =>
  model === "" ? null : revision === undefined ? fileName(model) : model;

function resultSections(record: RunRecord, results: Results): Block[] {
  const blocks = WORDS[record.objective].blocks?.(record, results) ?? [];
  const samples = blocks.filter((block) => block.kind === "table" && block.name === "samples");
  const errors = blocks.filter(isOfErrors);
  const table = WORDS[record.objective].table?.(results);
  return [
    ...(samples.length > 0 ? [heading("What it writes"), ...samples] : []),
    heading("How good it is"),
    ...baselinesTable(record, results),
    ...blocks.filter((block) => !samples.includes(block) && !errors.includes(block)),
    details("Before and after training", [beforeAndAfter(record, results)]),
    ...(table ? [details("Each text of the test set", [table])] : []),
    ...(errors.length > 0 ? [heading("What it gets wrong"), ...errors.flatMap(showMistakes)] : []),
  ];
}

const isMistakes = (block: Block): block is Table => block.kind === "table" && block.name === "mistakes";

/** Whether a block is of what a run gets wrong, or says that there is nothing. */
function isOfErrors(block: Block): boolean {
  if (block.kind === "details") return block.blocks.some(isOfErrors);
  return block.kind === "text" || (block.kind === "table" && ["mistakes", "confusion"].includes(block.name));
}

/** Mistakes that are read at once. */
const WORST = 10;

/** The worst mistakes, and more of them on demand. */
function showMistakes(block: Block): Block[] {
  const table = block.kind === "details" && block.blocks.find(isMistakes);
  if (!table) return [block];
  const { rows } = table;
  if (rows.length <= WORST) return [table];
  const worst = { ...table, caption: `${block.title}, the worst ${WORST}`, shown: WORST };
  return [worst, details(`The worst ${formatCount(rows.length)}`, [table])];
}

function making(record: RunRecord, data: TrainingData): Block[] {
  const { device, trainable, parameters, seconds, memory, created, evaluations, options, model } = record;
  const share = parameters > 0 ? ` of ${formatCount(parameters)} (${formatShare(trainable / parameters)})` : "";
  const facts: Fact[] = [
    ["Base model", baseName(record)],
    ["Trained parameters", `${formatCount(trainable)}${share}`],
    ["Device", device && describeDevice(device)],
    ["Time", `${formatDuration(seconds)}${evaluations.length > 0 ? ", including evaluation" : ""}`],
    ["Memory", memory > 0 ? formatBytes(memory) : null],
    ["Made", new Date(created).toISOString().slice(0, 10)],
  ];
  // The model is among the facts.
  const [, ...ofData] = dataBlocks(data, model, options.classWeights, options.mode);
  const curves = runCharts([record]).map(({ name, chart, description }) => figure(name, description, chart));
  return [
    factsTable(record, facts),
    details("The data", ofData),
    ...curves,
    ...(curves.length > 0 && evaluations.length > 0 ? [details("Every evaluation", [evaluationsTable(record)])] : []),
    text("Every figure is in run.json, in the folder of this page. Tables are saved as CSV, charts as SVG."),
  ];
}

function using(record: RunRecord, hasClassic: boolean): Block[] {
  const { objective, peftObstacle, options } = record;
  const command = (...words: string[]) => code(["npx lowrank", ...words.map((word) => shellWord(word))].join(" "));
  const run = ["--run", "."];
  const { withoutModel, isSeparate } = METHODS[options.mode];
  const forms = peftObstacle === null ? ["peft"] : isSeparate ? [] : ["merged"];
  const commands = useCommands(record, ".", "labelled.csv");
  const [, table = []] = commands;
  return [
    text("In a terminal, in the folder of this page:"),
    ...commands.map((words) => command(...words)),
    ...(withoutModel
      ? [text("For other programs, classic.json has it by scikit-learn's names (data/README.md of Lowrank).")]
      : [
          ...(hasClassic && !isBeatenByWords(record)
            ? [text("With its TF-IDF model alone, in seconds:"), command(...table.toSpliced(3, 0, "--classic"))]
            : []),
          ...forms.flatMap((form) => [
            text("For other programs, this writes it with a model card of the Hugging Face hub:"),
            command("export", ...run, "--to", form, "--out", form),
          ]),
          ...(hasHead({ objective })
            ? [
                text("For people, this writes one HTML file that answers as they type, without a network:"),
                command("export", ...run, "--to", "page", "--out", "page"),
              ]
            : []),
        ]),
  ];
}

/** The files of a run's directory that show it. */
export const runFiles = (
  record: RunRecord,
  result: Pick<TrainResult, "answers" | "classic">,
  data: TrainingData,
): [name: string, content: FileContent][] => [
  ...predictionsFile(result, data),
  [REPORT, runReport(record, result, data)],
];
