/** A run's data, as blocks: its sets, the weights of their classes, rows that were left out or changed. */

import { type LowrankError, nameList } from "../core/errors.ts";
import { digits, formatCount } from "../core/format.ts";
import { excerpt, type PairSettings, type TextOrPair } from "../core/pair.ts";
import { LISTED_CLASSES } from "../core/statistics.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import { describeCopies, hasLeaks, UNREAD } from "../data/problems.ts";
import type { LoadedTagged } from "../data/text/tagged.ts";
import type { LoadedTexts } from "../data/text/texts.ts";
import { Tokenizer } from "../data/tokenizer.ts";
import { matchData, type TrainingData } from "../data/training-data.ts";
import {
  type Block,
  type Details,
  details,
  makeTable,
  messageColumns,
  note,
  type RowColumn,
  type Table,
  text,
} from "../document/blocks.ts";
import { brief } from "../document/cells.ts";
import type { BaseModel } from "../io/hf.ts";
import { type Combined, labelNotes, settingsOfSeveral } from "../labels/cells.ts";
import { METHODS, type Mode } from "../methods/index.ts";
import type { Splits } from "../tasks/evaluation.ts";
import { TASKS } from "../tasks/index.ts";
import type { Rows } from "../tasks/task.ts";
import { WORDS } from "../tasks/words.ts";
import { type ClassWeights, isUnequal, weighClasses } from "../train/class-weights.ts";
import { DEFAULTS } from "../train/options.ts";

export function dataBlocks(data: TrainingData, model: string, how: ClassWeights, mode = DEFAULTS.mode): Block[] {
  return [text(`model: ${model}`), ...dataSummary(data, how, mode, true)];
}

/** The rows that were read; of messages also with notes on faults. */
export function dataSummary(data: TrainingData, how: ClassWeights, mode = DEFAULTS.mode, hasNotes = false): Block[] {
  return matchData(data, {
    text: (messages) => [...messagesBlocks(messages, how, mode), ...(hasNotes ? notesBlocks(messages, mode) : [])],
    word: sentencesBlocks,
    nothing: textsBlocks,
  });
}

/** A perplexity over fewer tokens than this says little. */
const FEW_TOKENS = 100;

/** The sets that have rows, by their names. */
const listSets = <T extends object>({ train, val, test }: Splits<T>) =>
  Object.entries({ Training: train, Validation: val, Test: test })
    .map(([name, set]) => ({ name, ...set }))
    .filter((set) => !("rows" in set) || set.rows !== 0);

const sumCut = (stats: Splits<{ cut: number }>) => listSets(stats).reduce((sum, { cut }) => sum + cut, 0);

/** A row for each set, with these of its figures. */
function setsTable<Key extends string>(
  caption: string,
  stats: Splits<Readonly<Record<NoInfer<Key>, number>>>,
  figures: Readonly<Record<Key, string>>,
): Table {
  type Row = ReturnType<typeof listSets<Readonly<Record<Key, number>>>>[number];
  const columns = (Object.keys(figures) as Key[]).map((key) => ({
    title: figures[key],
    key,
    format: key === "mean" ? digits(1) : formatCount,
    value: ({ [key]: value }: Row) => value,
  }));
  return makeTable<Row>(
    "data",
    caption,
    [{ title: "Set", key: "set", value: ({ name }) => name }, ...columns],
    listSets(stats),
  );
}

function textsBlocks({ source, maxLength, stats }: LoadedTexts): Block[] {
  const figures = { documents: "Documents", rows: "Blocks", tokens: "Tokens", bytes: "Bytes" };
  return [
    text(`data: ${source}, blocks of at most ${maxLength} tokens`),
    setsTable("Texts", stats, figures),
    ...counted([
      [sumCut(stats), `completions were truncated: with their prompts they exceed ${maxLength} tokens`],
      [stats.empty, "empty documents were skipped"],
    ]).map(note),
    ...listSets(stats)
      .filter(({ name, tokens }) => name !== "Training" && tokens < FEW_TOKENS)
      .map(({ name, tokens }) =>
        note(`the ${name.toLowerCase()} set has only ${tokens} tokens: its perplexity says little`),
      ),
  ];
}

function sentencesBlocks(data: LoadedTagged): Block[] {
  const { source, maxLength, stats } = data;
  return [
    text(`data: ${source}`),
    setsTable("Sentences", stats, { rows: "Sentences", words: "Words", tokens: "Tokens", cut: "Truncated" }),
    ...WORDS[data.objective].data!(data),
    ...counted([
      [sumCut(stats), `sentences are longer than ${maxLength} tokens: the words behind are not read, and not measured`],
      [stats.empty, "sentences without words were skipped"],
    ]).map(note),
    ...[...describeCopies(stats), ...missingClasses(data, "word")].map(note),
  ];
}

/** Sentences about what there is. */
function counted(notes: readonly (readonly [number: number, what: string])[]): string[] {
  return notes.filter(([number]) => number > 0).map(([number, what]) => `${formatCount(number)} ${what}`);
}

/** Whether messages are read whole, whatever a model's context is. */
const isUncut = (mode: Mode) => METHODS[mode].withoutModel === true;

function messagesBlocks(data: LoadedDataset, how: ClassWeights, mode: Mode): Block[] {
  const { source, split, stats, pairs, chosen } = data;
  const lengths = { mean: "Mean", median: "Median", p95: "95 %", max: "Longest", cut: "Truncated" };
  return [
    text(`data: ${source}${split === "given" || listSets(stats).length < 2 ? "" : `, split: ${split}`}`),
    ...(pairs ? [text(describePairs(pairs))] : []),
    ...(chosen ? [text(chosen)] : []),
    text(describeRows(data, how)),
    isUncut(mode)
      ? setsTable("Messages", stats, { rows: "Rows" })
      : setsTable("Messages, and their lengths in tokens", stats, { rows: "Rows", ...lengths }),
    ...(WORDS[data.objective].data?.(data) ?? []),
  ];
}

const notesBlocks = (data: LoadedDataset, mode: Mode): Block[] => {
  const { rows, rowErrors } = data.stats.leftOut;
  return [
    ...dataNotes(data, mode).map(note),
    ...counted([[rows, "invalid rows were skipped"]]).map(note),
    ...rowErrors.slice(0, LISTED_ERRORS).map(skipped).map(text),
  ];
};

/** Notes on messages and their labels. */
function dataNotes(data: LoadedDataset, mode: Mode): string[] {
  const { stats, maxLength, pairs } = data;
  const empty = listSets(stats).reduce((sum, set) => sum + set.empty, 0);
  return [
    ...counted([
      [isUncut(mode) ? 0 : sumCut(stats), `messages are longer than ${maxLength} tokens and were truncated`],
      [empty, pairs ? "pairs have an empty text" : "messages are empty and were replaced with <|endoftext|>"],
      [isUncut(mode) ? 0 : stats.unread, UNREAD],
    ]),
    ...describeCopies(stats).map((what) => (hasLeaks(stats) ? `${what} (deduplication drops them)` : what)),
    ...missingClasses(data, "row"),
    ...labelNotes(stats.classesRead),
    ...(stats.combined ? [describeCombined(stats.combined, data)] : []),
  ];
}

/** That labels look like several in one, and how they are learned as such. */
function describeCombined(combined: Combined, { objective, stats }: LoadedDataset): string {
  const { labels } = combined;
  const hasSeveral = TASKS[objective].loss === "binary";
  const shown = nameList(labels.map((label) => `"${label}"`));
  const how = settingsOfSeveral(combined, hasSeveral);
  const separate = hasSeveral
    ? `label of its own, unless they are separated (${how})`
    : `class of its own, unless several labels a message are learned (${how})`;
  return `${labels.length} of ${Object.keys(stats.classesRead).length} labels look like several in one: ${shown}. Each combination is a ${separate}`;
}

/** "pairs of texts: columns question and answer, with the token that ends a text between them" */
const describePairs = ({ columns }: PairSettings) =>
  `pairs of texts: columns ${columns.map(brief).join(" and ")}, with the token that ends a text between them`;

/** Names the classes that no row, or no word, of a set has: a random split may leave small ones out. */
function missingClasses(data: LoadedDataset | LoadedTagged, what: string): string[] {
  const { labels, stats } = data;
  const seed = "split" in data && data.split === "random" ? "; another seed draws another split" : "";
  const sets = {
    "training set, so that it cannot be learned": stats.train,
    "validation set": stats.val,
    "test set, so that it is not measured": stats.test,
  };
  return Object.entries(sets).flatMap(([name, { classes, rows }]) => {
    if (rows === 0) return [];
    const missing = labels.filter((label) => classes[label] === 0).map((label) => `"${brief(label)}"`);
    return missing.length > 0 ? [`no ${what} of ${nameList(missing)} is in the ${name}${seed}`] : [];
  });
}

/** Skipped rows that are listed. */
const LISTED_ERRORS = 3;

/** "messages.csv:17: The row has the wrong number of fields". */
function skipped({ message, details }: LowrankError): string {
  return `${details.where ?? ""}: ${message.split("\n")[0]}`;
}

/** One line: the rows read, those left out and why, and the weights of the classes. */
function describeRows(data: LoadedDataset, how: ClassWeights): string {
  const { labels, stats } = data;
  const { rowsRead, classesRead, copies, corrected, undrawn, train, val, test } = stats;
  const dropped = rowsRead - copies - undrawn - train.rows - val.rows - test.rows;
  const leftOut = counted([
    [copies, "near-duplicates of earlier rows left out"],
    [undrawn, "rows not drawn"],
    [dropped, "rows of the larger classes left out to balance them"],
  ]);
  const weights = weighClasses(data, how);
  const weighted = isUnequal(data) ? ["the classes are unequal, their loss is not weighted"] : [];
  const counts = Object.keys(classesRead).length > 0 && byClass(labels, (_, label) => classesRead[label] ?? 0);
  return [
    `rows: ${formatCount(rowsRead)} read${counts ? ` (${counts})` : ""}`,
    ...(corrected ? [describeCorrected(corrected)] : []),
    ...(leftOut.length > 0 ? leftOut : ["all kept"]),
    ...(weights
      ? [`loss weighted by class (${byClass(labels, (i) => Number(weights[i]!.toPrecision(3)))})`]
      : weighted),
  ].join("; ");
}

const describeCorrected = ({ labels, dropped, added }: NonNullable<LoadedDataset["stats"]["corrected"]>) =>
  `corrections: ${formatCount(labels)} labels changed, ${formatCount(dropped)} rows left out${added.map((label) => `, ${brief(label)} is new`).join("")}`;

/** "ham 500, spam 20"; of many classes, those with the largest and the smallest number. */
function byClass(labels: readonly string[], value: (id: number, label: string) => number): string {
  const all = labels.map((label, id) => ({ label: brief(label), value: value(id, label) }));
  const list = (counts: typeof all) => counts.map(({ label, value }) => `${label} ${formatCount(value)}`);
  if (all.length <= LISTED_CLASSES) return list(all).join(", ");
  const sorted = all.sort((a, b) => b.value - a.value);
  return `${labels.length} classes, ${list([sorted[0]!, sorted.at(-1)!]).join(" to ")}`;
}

/** Rows and characters of a preview, and the blocks that surely have those characters. */
const PREVIEW = { rows: 6, characters: 240, text: 400, blocks: 8 };

/** The beginning of the training set. */
export async function dataPreview(data: TrainingData, model: BaseModel): Promise<Details> {
  const first: Block = await matchData<Block | Promise<Block>>(data, {
    text: firstMessages,
    word: firstSentences,
    nothing: (texts) => beginning(texts, model),
  });
  return details(`Look at the ${first.kind === "table" ? first.name : "text"}`, [first]);
}

const firstRows = <Row>(name: string, { size }: Rows, columns: readonly RowColumn<Row>[], row: (i: number) => Row) =>
  makeTable(
    name,
    `The first ${name} of the training set`,
    columns,
    Array.from({ length: Math.min(PREVIEW.rows, size) }, (_, i) => row(i)),
  );

const firstMessages = ({ train, pairs }: LoadedDataset) =>
  firstRows<{ text: TextOrPair; label: string }>(
    "messages",
    train,
    [{ title: "Label", key: null, value: ({ label }) => label }, ...messageColumns(pairs)],
    (i) => ({ text: excerpt(train.text(i), PREVIEW.characters), label: train.labels[train.label(i)]! }),
  );

const firstSentences = ({ train, labels }: LoadedTagged) =>
  firstRows("sentences", train, messageColumns(undefined, "Sentence"), (i) => {
    const words = train.words(i).map((word, at) => `${word}/${labels[train.tags(i)[at]!]}`);
    return { text: words.join(" ").slice(0, PREVIEW.characters) };
  });

async function beginning({ train }: LoadedTexts, model: BaseModel): Promise<Block> {
  const { ids } = train.batch(train.positions().subarray(0, PREVIEW.blocks));
  const tokenizer = await Tokenizer.load({ model });
  const { end, begin } = model.vocabulary;
  const decoded = tokenizer.decode(begin === null ? ids : ids.filter((id) => id !== begin.id));
  return text(`${decoded.replaceAll(end.text, " ").replaceAll(/\s+/g, " ").trim().slice(0, PREVIEW.text)} …`);
}
