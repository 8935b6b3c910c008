/** Data sets by name or file: read, balanced, shuffled, split and ready for batches. */
import { parseChoice } from "../core/checks.ts";
import { usualLength } from "../core/config.ts";
import { ConfigError, DataError } from "../core/errors.ts";
import { isBlank, joinPair, type PairSettings } from "../core/pair.ts";
import type { LeftOut } from "../core/places.ts";
import { LIST_SEPARATOR } from "../core/places.ts";
import { setting } from "../core/setting.ts";
import type { Vocabulary } from "../io/tokenizer/vocabulary.ts";
import { type Combined, findCombined } from "../labels/cells.ts";
import type { LabelKind } from "../labels/kind.ts";
import type { Splits } from "../tasks/evaluation.ts";
import { DEFAULT_OBJECTIVE, isOfMessages, type MessagesObjective, OBJECTIVES } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";
import { CHUNK_BYTES, Corpus, type ReadOptions } from "./corpus.ts";
import { addClasses, type Dataset, type DatasetStats, type Padding } from "./dataset.ts";
import {
  DATASET_OPTIONS,
  type DatasetOptions,
  type DatasetSpec,
  type Origin,
  parseOrigin,
  pathOf,
  SOURCE,
} from "./dataset-options.ts";
import { type CopyStats, countCopies, type Groups } from "./duplicates.ts";
import { isOnHub } from "./sets/named.ts";
import { readSets } from "./sets/read-sets.ts";
import type { Corrected, Loaded } from "./sets/source.ts";
import { drawRows, type Parts, refuseExperiment, type Split } from "./sets/split.ts";
import { checkDataSettings } from "./settings.ts";
import { checkEncoding } from "./table/encoding.ts";
import { DataModule } from "./wasm.ts";

/** Sets that are split and encoded, whatever is learned of them. */
export interface LoadedSets<Set> extends Splits<Set> {
  /** Class names by class id; the names of several labels a message; of a regression "score"; of texts none. */
  labels: readonly string[];
  /** The group of each row of a `groupColumn`, by its place. */
  groups?: Groups;
  /** The fingerprint of the vocabulary that the rows are encoded with. */
  vocabulary: string;
  /** The longest row allowed, in tokens. */
  maxLength: number;
  /** Where the rows came from, to print. */
  source: string;
  /** The same with the options, as arguments for the function that has loaded them. */
  origin: Origin;
  /** The test rows of each part of a named data set that has several. */
  testParts?: Loaded["testParts"];
  /** How messages were split; "given" if by separate files. */
  split?: Split | "given";
  /** Pairs of texts: their columns, and what is between their tokens. */
  pairs?: PairSettings;
  /** Which columns were chosen and why, if their names do not say it. */
  chosen?: string;
}

/** Messages with labels, split and encoded: what `loadDataset` returns. */
export interface LoadedDataset extends LoadedSets<Dataset> {
  objective: MessagesObjective;
  stats: Splits<DatasetStats> &
    CopyStats & {
      /** Rows in the files, before balancing, and those of each class or label. */
      rowsRead: number;
      classesRead: Record<string, number>;
      leftOut: LeftOut;
      /** Rows that were dropped as near-duplicates of an earlier row. */
      copies: number;
      /** What `corrections` have changed; absent: there were none. */
      corrected?: Corrected;
      /** Rows of the training and the validation set that `trainRows` left out. */
      undrawn: number;
      /** Labels that look like several in one. */
      combined: Combined | null;
      /** Rows with more letters that are in no token of the model than others. */
      unread: number;
    };
  testParts: Loaded["testParts"];
  split: Split | "given";
}

/** As in index.ts. */
export async function loadDataset(spec: DatasetSpec, options: DatasetOptions = {}): Promise<LoadedDataset> {
  const origin = parseOrigin(spec, options, SOURCE, DATASET_OPTIONS);
  const seed = options.seed ?? 1;
  const maxLength = options.maxLength ?? usualLength(options.model?.config);
  const [objective, labelsAre] = parseMessagesObjective(options);
  const { trainRows, labelSeparator } = options;
  const module = options.module ?? (await DataModule.load(options.model));
  const corpus = new Corpus(module);
  const read: ReadOptions = {
    labelsAre,
    maxLength,
    chunkBytes: options.chunkBytes ?? CHUNK_BYTES,
    skipFaulty: options.skipFaulty ?? false,
    encoding: options.encoding,
    sheet: options.sheet,
    labelSeparator,
    labels: options.labels,
    onTable: options.onTable,
  };
  if (options.labels) labelsAre.checkNames!(options.labels);
  if (options.split === "experiment" && !("name" in spec && !isOnHub(spec.name))) refuseExperiment();
  if (options.encoding !== undefined) checkEncoding(options.encoding);
  if (options.textColumn !== undefined) read.textColumn = options.textColumn;
  if (options.labelColumn !== undefined) read.labelColumn = options.labelColumn;

  const loaded = await readSets(corpus, spec, read, options, seed);
  const { corrections } = options;
  const { groups, testParts, rowsRead, copies, source, split, name } = loaded;
  const parts = trainRows === undefined ? loaded.parts : drawRows(loaded.parts, trainRows, labelsAre, seed);
  const { size } = parts[0];
  // Among others an empty text is a message, too.
  if (size > 0 && parts[0].positions().every((i) => isBlank(parts[0].text(i))))
    throw new DataError("column-without-text", "The texts to learn from are all empty", {
      where: source,
      found: `${size} rows`,
    });
  const padTo = paddedLength(options.padding ?? "none", parts[0], maxLength);
  const separator = "rows" in spec ? LIST_SEPARATOR : labelSeparator;
  const outputs = labelsAre.outputs?.(corpus, parts[0], { where: source, separator, first: options.labels }) ?? null;
  const [train, val, test] = parts.map((part) => part.padded(padTo).withOutputs(outputs)) as Parts;
  const { pairColumns: columns } = corpus;
  const classesRead = outputs ? addClasses([train, val, test]) : loaded.classesRead;
  const names = Object.keys(classesRead);
  const mayBeCombined = names.some((label) => /[|;,]/.test(label));
  return {
    objective,
    train,
    val,
    test,
    labels: outputs?.names ?? corpus.labels,
    stats: {
      train: train.stats(),
      val: val.stats(),
      test: test.stats(),
      rowsRead,
      classesRead,
      leftOut: corpus.leftOut,
      copies,
      ...(loaded.corrected ? { corrected: loaded.corrected } : {}),
      undrawn: sizeOf(loaded.parts) - sizeOf(parts),
      ...countCopies(parts),
      unread: parts.reduce((sum, set) => sum + countUnread(set, module.vocabulary), 0),
      combined: mayBeCombined ? findCombined(names) : null,
    },
    testParts,
    split,
    ...(groups ? { groups } : {}),
    vocabulary: module.vocabulary.fingerprint,
    maxLength,
    ...(columns ? { pairs: { columns } } : {}),
    ...(corpus.chosen ? { chosen: corpus.chosen.why } : {}),
    source,
    origin: {
      ...origin,
      ...(split === "given" ? {} : { split }),
      ...(name === undefined ? {} : { name }),
      ...(corrections === undefined ? {} : { corrections: [corrections].flat().map(pathOf) }),
      ...(columns && !("rows" in spec) ? { textColumn: columns.join() } : {}),
      ...corpus.chosen?.columns,
    },
  };
}

const countUnread = (set: Dataset, { lacks }: Vocabulary) =>
  lacks ? set.positions().filter((i) => lacks(joinPair(set.text(i)))).length : 0;

const sizeOf = (parts: Parts) => parts.reduce((sum, { size }) => sum + size, 0);

/** What is learned of the messages. Throws ConfigError for an unknown objective, and for options that it has not. */
function parseMessagesObjective(options: DatasetOptions): [objective: MessagesObjective, labelsAre: LabelKind] {
  const objective = parseChoice("objective", options.objective ?? DEFAULT_OBJECTIVE, OBJECTIVES.filter(isOfMessages));
  checkDataSettings(options, objective);
  if (options.labelSeparator === "")
    throw new ConfigError("invalid-value", `${setting("labelSeparator")} is empty`, {
      expected: 'a sign such as "," or ";"',
    });
  return [objective, TRAINING[objective].labels];
}

/** The length to which rows are padded; 0: no padding. Throws ConfigError for a number above `maxLength`. */
function paddedLength(padding: Padding, train: Dataset, maxLength: number): number {
  if (padding === "none") return 0;
  if (padding === "longest") return train.stats().max;
  if (Number.isInteger(padding) && padding >= 1 && padding <= maxLength) return padding;
  throw new ConfigError("invalid-value", "The padding is invalid", {
    expected: `"none", "longest" or a whole number of tokens from 1 to ${maxLength}`,
    found: String(padding),
  });
}
