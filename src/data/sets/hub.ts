/**
 * Data sets of the Hugging Face hub: the files of their training, validation and test sets. They are read from the
 * branch on which the hub keeps every public data set as Parquet, CONFIGURATION/SPLIT/0000.parquet; what the hub has
 * converted only in part is in CONFIGURATION/partial-SPLIT.
 */

import { exists, joinPath } from "#platform";
import { ConfigError, DataError, nameList } from "../../core/errors.ts";
import { either, setting } from "../../core/setting.ts";
import { nearest } from "../../core/suggest.ts";
import type { DownloadOptions } from "../../io/hub/download-options.ts";
import {
  downloading,
  fetchFiles,
  type HubFile,
  hubFile,
  type Listing,
  listFiles,
  refuseOffline,
  snapshotFolder,
} from "../../io/hub/hub.ts";
import { isHubName, type Repository } from "../../io/hub/hub-names.ts";
import { keep, readKept } from "../../io/hub/kept.ts";
import { LIMITS } from "../../io/limits.ts";

/** A split, and where its files are in the cache. */
export interface HubSplit {
  name: string;
  files: readonly string[];
}

export interface HubDataset {
  /** The name with the configuration and the commit, by which the same data is found again. */
  name: string;
  title: string;
  train: HubSplit;
  val: HubSplit | undefined;
  test: HubSplit | undefined;
  /** Other splits, which are not used. */
  others: readonly string[];
}

const BRANCH = "refs/convert/parquet";
/** A file's path; neither name may leave its folder, on any system. */
const FILE = /^((?!\.+\/)[^\\/:\p{Cc}]+)\/((?!\.+\/)[^\\/:\p{Cc}]+)\/\d{4,}\.parquet$/u;
const PARTIAL = /^partial-/;
const YOURS = `give its files, or their addresses (https://...), with ${setting("data")}, ${setting("val")} and ${setting("test")}`;

/** A configuration: the paths of each split's files. */
interface Configuration {
  name: string;
  splits: ReadonlyMap<string, readonly string[]>;
}

/** The files of the configurations that were downloaded, by the names that they were asked for with. */
const KEPT = "hub-datasets.json";

/**
 * Finds a data set in the cache, or downloads what is needed of it. What is in the cache is used without asking the
 * hub. Throws ConfigError, DataError or DownloadError.
 */
export async function openHubDataset(whole: string, options: DownloadOptions): Promise<HubDataset> {
  const { name, config, reference } = await parseName(whole);
  const repository = { type: "dataset", name } as const;
  const kept = await readKept(KEPT, whole);
  const [cached] = listConfigurations(Array.isArray(kept.paths) ? kept.paths.map(String) : []);
  if (cached) {
    const found = chooseSplits(repository, String(kept.revision), cached);
    if (await areThere(usedSplits(found).flatMap(({ files }) => files))) return found;
  }
  refuseOffline(repository, `${whole} in the hub's cache`);
  const work = async () => {
    const { revision, files } = (await listFiles(repository, reference, options)) ?? refuseMissing(name, reference);
    const configuration = pickConfiguration(name, listConfigurations([...files.keys()].sort()), config);
    const found = chooseSplits(repository, revision, configuration);
    const used = usedSplits(found).flatMap((split) => configuration.splits.get(split.name)!);
    await fetchFiles(repository, revision, checkSizes(found.title, used, files), options);
    const paths = [...configuration.splits.values()].flat();
    for (const key of new Set([whole, `${name}:${configuration.name}`, found.name]))
      await keep(KEPT, key, { revision, paths });
    return found;
  };
  return downloading(repository, work, options);
}

async function areThere(paths: readonly string[]): Promise<boolean> {
  for (const path of paths) if (!(await exists(path))) return false;
  return true;
}

/** The name, the configuration and the commit in "owner/name:configuration@commit". Throws ConfigError. */
async function parseName(whole: string): Promise<{ name: string; config: string | undefined; reference: string }> {
  const [, name = "", config, reference = BRANCH] = /^([^:@]+)(?::([^@]+))?(?:@(.+))?$/.exec(whole) ?? [];
  const isFile = await exists(whole);
  if (isFile || !isHubName(name))
    throw new ConfigError(
      "invalid-dataset-name",
      `"${whole}" is ${isFile ? "a file or a folder, not" : "not"} the name of a data set`,
      {
        where: setting("dataset"),
        expected: "owner/name on the hub, such as stanfordnlp/imdb, and where needed owner/name:configuration",
        hint: either(
          `give a file with ${setting("data")}`,
          `files of sets with ${setting("data")}, ${setting("val")} and ${setting("test")}`,
        ),
      },
    );
  if (reference !== BRANCH && !/^[0-9a-f]{40}$/.test(reference))
    throw new ConfigError("no-such-revision", "a data set's revision is a commit", {
      where: whole,
      expected: `a commit of the branch ${BRANCH}, which run.json has, or none for the newest`,
      found: reference,
      hint: `for another branch or a tag, ${YOURS}`,
    });
  return { name, config, reference };
}

/** The files as the hub describes them. Throws DataError if they are too large together. */
function checkSizes(title: string, paths: readonly string[], files: Listing["files"]): readonly HubFile[] {
  const described = paths.map((path) => hubFile(title, files, path, LIMITS.weights));
  const bytes = described.reduce((sum, { size }) => sum + size, 0);
  if (bytes <= LIMITS.dataset) return described;
  throw new DataError("exceeds-limit", "The data set is too large", {
    where: title,
    expected: `at most ${gigabytes(LIMITS.dataset)}`,
    found: `${gigabytes(bytes)} in ${paths.length} files`,
    hint: `download the files that you need, and give them with ${setting("data")}, ${setting("val")} and ${setting("test")}`,
  });
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;

function refuseMissing(name: string, reference: string): never {
  if (reference !== BRANCH)
    throw new ConfigError("no-such-revision", `the hub's Parquet files of ${name} have no commit ${reference}`, {
      where: name,
      expected: `a commit of the branch ${BRANCH}, or none for the newest`,
    });
  throw refuseExport(name, "The hub has no Parquet files of this data set", "no such branch");
}

/** The error for a data set that the hub has not converted, as private ones, or not whole. */
function refuseExport(where: string, summary: string, found: string): DataError {
  const expected = `files such as default/train/0000.parquet on the branch ${BRANCH}`;
  return new DataError("no-parquet-export", summary, { where, expected, found, hint: `${YOURS}; or choose another` });
}

function listConfigurations(paths: readonly string[]): Configuration[] {
  const configurations = new Map<string, Map<string, string[]>>();
  for (const path of paths) {
    const [, name, split] = FILE.exec(path) ?? [];
    if (name === undefined || split === undefined) continue;
    const splits = configurations.get(name) ?? new Map<string, string[]>();
    configurations.set(name, splits.set(split, [...(splits.get(split) ?? []), path]));
  }
  return [...configurations].map(([name, splits]) => ({ name, splits }));
}

function pickConfiguration(where: string, all: readonly Configuration[], asked: string | undefined): Configuration {
  const names = all.map(({ name }) => name);
  if (names.length === 0) throw refuseExport(where, "The hub has no Parquet files of this data set", "other files");
  const wanted = asked ?? (names.length === 1 ? names[0] : "default");
  const configuration = all.find(({ name }) => name === wanted);
  if (configuration) return configuration;
  const found = nameList(all.map(({ name, splits }) => `${name} (${[...splits.keys()].join(", ")})`));
  const hint = `give one of these, such as ${where}:${names[0]}`;
  if (asked === undefined)
    throw new DataError("ambiguous-configuration", "The data set has several configurations", { where, found, hint });
  const near = nearest(asked, names);
  throw new DataError("no-such-configuration", `The data set has no configuration "${asked}"`, {
    where,
    found,
    hint: near === undefined ? hint : `did you mean ${where}:${near}?`,
  });
}

/** The names that splits have. */
const TRAIN = ["train", "training"];
const VAL = ["validation", "valid", "dev", "val"];
const TEST = ["test", "testing", "eval", "evaluation"];

/** Chooses the training, the validation and the test set. Throws DataError. */
function chooseSplits(repository: Repository, revision: string, { name, splits }: Configuration): HubDataset {
  const title = name === "default" ? repository.name : `${repository.name}:${name}`;
  const names = [...splits.keys()];
  const choose = (usual: readonly string[]): HubSplit | undefined => {
    const split = names.find((one) => usual.includes(one.replace(PARTIAL, "").toLowerCase()));
    if (split === undefined) return undefined;
    if (PARTIAL.test(split)) throw refuseExport(title, "The hub has converted only a part of this data set", split);
    const folder = snapshotFolder(repository, revision);
    return { name: split, files: splits.get(split)!.map((path) => joinPath(folder, path)) };
  };
  const [train, val, test] = [choose(TRAIN), choose(VAL), choose(TEST)];
  if (train === undefined)
    throw new DataError("no-training-split", "The data set has no split for training", {
      where: title,
      expected: "a split named train",
      found: nameList(names),
      hint: YOURS,
    });
  const others = names.filter((one) => ![train, val, test].some((split) => split?.name === one));
  return { name: `${repository.name}:${name}@${revision}`, title, train, val, test, others };
}

const usedSplits = ({ train, val, test }: HubDataset) => [train, val, test].filter((split) => split !== undefined);
