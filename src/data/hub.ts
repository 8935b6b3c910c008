/** Data sets of the Hugging Face hub: the files of their training, validation and test sets, and their class names. */
import { exists, readBytes } from "#platform";
import { ConfigError, DataError, nameList } from "../errors.ts";
import type { DownloadOptions } from "../io/download-options.ts";
import { MAIN } from "../io/hub.ts";
import { type DatasetRepository, openDatasetRepository, PARQUET_BRANCH } from "../io/hub-dataset.ts";
import { isHubName } from "../io/hub-names.ts";
import { LIMITS } from "../io/limits.ts";
import { checkSize } from "../platform/reader.ts";
import { type Card, type Configuration, cardClasses, findConfiguration, parseCard, usualSplit } from "./hub-files.ts";

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
  /** The class names of a column by the card. */
  classes(column: string): readonly string[] | undefined;
}

/**
 * Finds a data set in the cache, or downloads what is needed of it. Throws ConfigError, DataError, FormatError or
 * DownloadError.
 */
export async function openHubDataset(whole: string, options: DownloadOptions): Promise<HubDataset> {
  const { name, config: asked, reference } = await parseName(whole);
  const { repository, card, found } = await findFiles(name, reference, asked, options);
  const { splits } = found;
  const names = [...splits.keys()];
  const of = (usual: string) => names.find((split) => usualSplit(split) === usual);
  const [train, val, test] = ["train", "validation", "test"].map(of);
  if (train === undefined)
    throw new DataError("no-training-split", "The data set has no split for training", {
      where: `${name}, configuration ${found.name}`,
      expected: "a split named train",
      found: nameList(names),
      hint: "download its files, and give them with --data, or --train, --val and --test",
    });
  const used = [train, val, test].filter((split) => split !== undefined);
  const files = used.flatMap((split) => splits.get(split)!);
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  if (bytes > LIMITS.dataset)
    throw new DataError("exceeds-limit", "The data set is too large", {
      where: `${name}, configuration ${found.name}`,
      expected: `at most ${gigabytes(LIMITS.dataset)}`,
      found: `${gigabytes(bytes)} in ${files.length} files`,
      hint: "download the files that you need, and give them with --train, --val and --test",
    });
  const paths = await repository.fetch(files.map(({ path }) => path));
  const place = new Map(files.map(({ path }, i) => [path, paths[i]!]));
  const split = (one: string | undefined): HubSplit | undefined =>
    one === undefined ? undefined : { name: one, files: splits.get(one)!.map(({ path }) => place.get(path)!) };
  return {
    name: `${name}:${found.name}@${repository.revision}`,
    title: found.name === "default" ? name : `${name}:${found.name}`,
    train: split(train)!,
    val: split(val),
    test: split(test),
    others: names.filter((one) => !used.includes(one)),
    classes: (column) => cardClasses(card, found.name, column),
  };
}

const gigabytes = (bytes: number) => `${(bytes / 1e9).toFixed(1)} GB`;

async function parseName(whole: string): Promise<{ name: string; config: string | undefined; reference: string }> {
  const [, name = "", config, reference = MAIN] = /^([^:@]+)(?::([^@]+))?(?:@([\w./-]+))?$/.exec(whole) ?? [];
  if (await exists(whole))
    throw new ConfigError("invalid-dataset-name", `"${whole}" is a file or a folder, not the name of a data set`, {
      where: "--dataset",
      expected: "owner/name on the hub, where there is no file of that name",
      hint: "give a file with --data, or --train, --val and --test",
    });
  if (!isHubName(name) || reference.split("/").includes(".."))
    throw new ConfigError("invalid-dataset-name", `"${whole}" is not the name of a data set`, {
      where: "--dataset",
      expected: "owner/name on the hub, such as stanfordnlp/imdb, and where needed owner/name:configuration",
      hint: "give a file with --data, or --train, --val and --test",
    });
  return { name, config, reference };
}

const NO_CARD: Card = { configs: [], infos: [] };

/** The files of the configuration: in the repository itself, or as the hub has converted them. */
async function findFiles(
  name: string,
  reference: string,
  asked: string | undefined,
  options: DownloadOptions,
): Promise<{ repository: DatasetRepository; card: Card; found: Configuration }> {
  const repository = await openDatasetRepository(name, reference, options);
  if (!repository)
    throw new ConfigError("no-such-revision", `the data set ${name} has no revision "${reference}"`, {
      where: name,
      expected: "a branch, a tag or a commit",
    });
  const card = await readCard(repository);
  // A script makes the data from files that are not the data.
  const isScripted = repository.files.some(({ path }) => path === `${name.split("/")[1]}.py`);
  const found = isScripted ? undefined : findConfiguration(name, repository.files, card, asked);
  if (found) return { repository, card, found };
  const converted = reference === MAIN ? await openDatasetRepository(name, PARQUET_BRANCH, options) : undefined;
  const again = converted && findConfiguration(name, converted.files, NO_CARD, asked);
  if (again) return { repository: converted, card, found: again };
  throw new DataError("no-readable-files", "The data set has no files that can be read", {
    where: name,
    expected: "Parquet, CSV, TSV or JSON lines, as the card says or by the files' names",
    found: nameList(repository.files.map(({ path }) => path)),
    hint: "choose another data set, or convert its files and give them with --data",
  });
}

async function readCard(repository: DatasetRepository): Promise<Card> {
  const file = repository.files.find(({ path }) => path === "README.md");
  if (file === undefined) return NO_CARD;
  checkSize({ name: `${repository.name}/README.md`, size: file.size }, LIMITS.json);
  const [path] = await repository.fetch(["README.md"]);
  return parseCard(new TextDecoder().decode(await readBytes(path!)), path!);
}
