/** Reads messages with labels in their three sets, from wherever they are. */
import { ConfigError } from "../../errors.ts";
import { setting } from "../../setting.ts";
import { Corpus, type ReadOptions } from "../corpus.ts";
import type { Dataset } from "../dataset.ts";
import type { DatasetOptions, DatasetSpec } from "../dataset-options.ts";
import { COUNTED, ROWS } from "../places.ts";
import { knownFormat } from "../table/dialect.ts";
import { DataModule } from "../wasm.ts";
import type { LabelledRow } from "./memory-rows.ts";
import { isOnHub, openNamed } from "./named.ts";
import {
  checkSingles,
  counts,
  type DataSource,
  isFolder,
  type Loaded,
  readSource,
  refuseSplit,
  sourceName,
  splitLoaded,
  USUAL_FRACTIONS,
  withoutCopies,
} from "./source.ts";
import { defaultSplit, type Parts } from "./split.ts";

/** Reads and splits data. Throws ConfigError for options that it has not. */
export async function readSets(
  corpus: Corpus,
  spec: DatasetSpec,
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  const loaded =
    "train" in spec
      ? await readSplits(corpus, spec, read, options, seed)
      : "name" in spec && isOnHub(spec.name)
        ? await (await import("./hub-rows.ts")).readHub(corpus, spec.name, read, options, seed)
        : ((await readFolders(corpus, spec, read, options, seed)) ??
          (await readAndSplit(corpus, spec, read, options, seed)));
  const { groupColumn, corrections } = options;
  if (groupColumn !== undefined && !loaded.groups) refuseGroups(groupColumn);
  if (corrections !== undefined && !loaded.corrected) refuseCorrections(loaded.source);
  return loaded;
}

async function readSplits(
  corpus: Corpus,
  spec: { train: DataSource; val: DataSource; test: DataSource },
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  if (options.split !== undefined) refuseSplit("split", options.split);
  const sources = [spec.train, spec.val, spec.test];
  const sets: Dataset[] = [];
  for (const source of sources) sets.push(await readSource(corpus, source, read));
  const kept = withoutCopies(sets, sources.map(sourceName), options);
  return {
    parts: (options.balance ? kept.map((set) => set.balance(seed)) : kept) as Parts,
    testParts: [],
    ...counts(sets, kept),
    source: sources.map(sourceName).join(", "),
    split: "given",
  };
}

/** A folder with one of each set, which has a folder of each class; null for anything else. */
async function readFolders(
  corpus: Corpus,
  spec: DatasetSpec,
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded | null> {
  if (!("file" in spec) || typeof spec.file !== "string" || knownFormat(spec.file)) return null;
  if (!(await isFolder(spec.file))) return null;
  const { folderSets } = await import("./folder.ts");
  const sets = await folderSets(spec.file);
  if (!sets) return null;
  return (await import("./given-sets.ts")).readGivenSets(corpus, sets, spec.file, read, options, seed);
}

async function readAndSplit(
  corpus: Corpus,
  spec: Exclude<DatasetSpec, { train: DataSource }>,
  read: ReadOptions,
  options: DatasetOptions,
  seed: number,
): Promise<Loaded> {
  const { file, columns, source, split, ...named } =
    "name" in spec
      ? await openNamed(spec.name, options)
      : {
          ...("rows" in spec ? await openRows(corpus, spec.rows, read, options) : { file: spec.file, columns: {} }),
          source: "rows" in spec ? ROWS : sourceName(spec.file),
          split: options.split ?? defaultSplit(read.labelsAre),
          balance: false,
          fractions: undefined,
          parts: [],
        };
  const whole = await readSource(corpus, file, { ...read, ...columns });
  const { corrections, groupColumn, model } = options;
  const loadModule = () => DataModule.load(model);
  const { rows: all, corrected } =
    corrections === undefined
      ? { rows: whole }
      : await (await import("./corrections.ts")).correctRows(corpus, whole, read, corrections, loadModule);
  const { balance = named.balance, fractions = named.fractions ?? USUAL_FRACTIONS } = options;
  // A class may have one row where nothing is tested, or where classes and sets are those of a model that learns on.
  const isGiven = read.labels !== undefined && split === "ordered";
  const isChecked = !("name" in spec) && read.labelsAre === "class" && fractions[2] > 0 && !isGiven;
  const where = corrected ? source + COUNTED : source;
  const used = isChecked ? await checkSingles(corpus, all, where, read.skipFaulty) : all;
  const loaded = splitLoaded(used, split, { ...options, balance, fractions }, seed);
  const testParts = locateParts(loaded.parts[2], named.parts);
  const rest = { testParts, source, ...(corrected ? { corrected } : {}) };
  if (groupColumn === undefined || fractions[0] !== 1) return { ...loaded, ...rest };
  const { readGroups } = await import("./groups.ts");
  const ofGroups = { ...read, ...columns, labelColumn: groupColumn };
  const groups = await readGroups(new Corpus(await loadModule()), file, ofGroups, whole.size);
  return { ...loaded, ...rest, groups };
}

/** The error for corrections of rows that are not of one file. */
function refuseCorrections(found: string): never {
  throw new ConfigError("option-without-effect", `${setting("corrections")} needs the rows of one file`, {
    expected: setting("data"),
    found,
  });
}

/** The error for groups of rows that are not to be divided into folds. */
function refuseGroups(column: string): never {
  throw new ConfigError("option-without-effect", `${setting("groupColumn")} has an effect on folds alone`, {
    expected: `one file, and ${setting("folds", 5)}`,
    found: setting("groupColumn", column),
  });
}

/** Rows in memory as a file, and its columns. */
async function openRows(
  { leftOut }: Corpus,
  rows: readonly LabelledRow[],
  { labelsAre }: ReadOptions,
  options: DatasetOptions,
) {
  const { rowsFile } = await import("./memory-rows.ts");
  const { leftOut: invalid, ...read } = rowsFile(rows, { ...options, labelsAre });
  leftOut.rows += invalid.rows;
  leftOut.rowErrors.push(...invalid.rowErrors);
  return read;
}

/** The positions of the rows of each part; `parts` has their names and sizes, in the order in which they were read. */
function locateParts(set: Dataset, parts: readonly { name: string; rows: number }[]): Loaded["testParts"] {
  let end = 0;
  return parts.map(({ name, rows }) => {
    const start = end;
    end += rows;
    return { name, positions: set.positions().filter((i) => start <= set.place(i) && set.place(i) < end) };
  });
}
