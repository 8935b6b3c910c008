/** Which files of a repository on the hub are which split of which configuration: by its card, or by the files' names. */
import { parse } from "yaml";
import { DataError, FormatError, nameList } from "../errors.ts";
import { LIMITS } from "../io/limits.ts";
import { nearest } from "../suggest.ts";
import { classNames } from "./columns.ts";

export interface RepositoryFile {
  path: string;
  size: number;
}

/** A data set's card, as far as it matters: the YAML at the head of README.md. */
export interface Card {
  configs: readonly CardConfig[];
  infos: readonly CardInfo[];
}

interface CardConfig {
  name: string;
  isDefault: boolean;
  /** Patterns of each split's files; undefined: by the files' names, in `folder`. */
  splits: ReadonlyMap<string, readonly string[]> | undefined;
  folder: string;
}

interface CardInfo {
  config: string | undefined;
  /** Class names by column. */
  classes: ReadonlyMap<string, readonly string[]>;
}

/** A configuration: the files of each split. */
export interface Configuration {
  name: string;
  splits: ReadonlyMap<string, readonly RepositoryFile[]>;
}

type Json = Record<string, unknown>;
const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value]);
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

/** Reads a README.md. Throws FormatError if its YAML, or what it says of configurations, is invalid. */
export function parseCard(readme: string, where: string): Card {
  const head = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(readme)?.[1] ?? "";
  if (head.length > LIMITS.card) refuse(where, `at most ${LIMITS.card} characters of YAML`, `${head.length}`);
  let card: unknown;
  try {
    card = parse(head, { logLevel: "error", uniqueKeys: false }) ?? {};
  } catch (cause) {
    throw new FormatError("the card of the data set is not valid YAML", {
      where,
      found: (cause as Error).message.split("\n")[0]!,
      hint: CARD_HINT,
      cause,
    });
  }
  if (!isObject(card)) refuse(where, "keys and values", "other YAML");
  return {
    configs: listOf(card.configs ?? undefined).map((config) => configOf(config, where)),
    infos: listOf(card.dataset_info ?? undefined).flatMap((info) => (isObject(info) ? [infoOf(info)] : [])),
  };
}

const CARD_HINT =
  "tell the data set's owner; or download its files, and give them with --data, or --train, --val and --test";

function refuse(where: string, expected: string, found: string): never {
  throw new FormatError("the card of the data set is invalid", { where, expected, found, hint: CARD_HINT });
}

function configOf(config: unknown, where: string): CardConfig {
  const { config_name: name, data_files, data_dir = "", default: isDefault } = isObject(config) ? config : {};
  if (typeof name !== "string" || typeof data_dir !== "string")
    refuse(where, "configs: a list of config_name and data_files", JSON.stringify(config)?.slice(0, 80) ?? "nothing");
  const folder = data_dir.replace(/^(\.?\/)+|\/+$/g, "");
  const splits = data_files === undefined || data_files === null ? undefined : splitsOf(data_files);
  if (splits === null)
    refuse(where, "data_files: patterns, or a list of split and path", `${JSON.stringify(data_files).slice(0, 80)}`);
  return { name, isDefault: isDefault === true, splits, folder };
}

/** The patterns of each split; null for another form. */
function splitsOf(files: unknown): Map<string, readonly string[]> | null {
  if (typeof files === "string") return new Map([["train", [files]]]);
  if (isTexts(files)) return new Map([["train", files]]);
  const entries = Array.isArray(files)
    ? files.map((one) => (isObject(one) ? [one.split, one.path] : []))
    : isObject(files)
      ? Object.entries(files)
      : [[]];
  const splits = new Map<string, readonly string[]>();
  for (const [split, path] of entries) {
    const patterns = typeof path === "string" ? [path] : path;
    if (typeof split !== "string" || !isTexts(patterns)) return null;
    splits.set(split, patterns);
  }
  return splits;
}

function infoOf({ config_name, features }: Json): CardInfo {
  const classes = new Map<string, readonly string[]>();
  for (const feature of listOf(features)) {
    const { name, dtype } = isObject(feature) ? feature : {};
    const names = isObject(dtype) && isObject(dtype.class_label) ? classNames(dtype.class_label.names) : undefined;
    if (typeof name === "string" && names) classes.set(name, names);
  }
  return { config: typeof config_name === "string" ? config_name : undefined, classes };
}

/** The class names that the card gives for a column of a configuration. */
export function cardClasses({ infos }: Card, config: string, column: string): readonly string[] | undefined {
  const info = infos.find((one) => one.config === config) ?? infos.find((one) => one.config === undefined);
  return info?.classes.get(column);
}

/** The files that can be read. */
const READABLE = /\.(parquet|csv|tsv|jsonl|ndjson|json|txt)$/i;
/** Files that describe the data. */
const ABOUT =
  /(^|\/)(config|dataset_infos?|dataset_dict|state|croissant)\.json$|(^|\/)(requirements|license|readme)\.txt$/i;
const HIDDEN = /(^|\/)(\.|__)/;

/**
 * The configuration `asked`, or the default one, with the files of its splits. Undefined if it has no file that can be read. Throws
 * DataError for an unknown one, and for several without a default.
 */
export function findConfiguration(
  name: string,
  all: readonly RepositoryFile[],
  card: Card,
  asked: string | undefined,
): Configuration | undefined {
  const files = all.filter(({ path }) => READABLE.test(path) && !ABOUT.test(path) && !HIDDEN.test(path));
  const ready = card.configs.length > 0 ? undefined : exported(files);
  if (ready) return pickConfig(name, ready, asked);
  const config = pickConfig(name, card.configs.length > 0 ? card.configs : [DEFAULT], asked);
  const { folder } = config;
  if (config.splits === undefined) {
    const own = folder === "" ? files : files.filter(({ path }) => path.startsWith(`${folder}/`));
    const splits = byNames(own, folder.length);
    return splits.size > 0 ? { name: config.name, splits } : undefined;
  }
  checkWork(name, config.splits, all);
  const splits = new Map<string, readonly RepositoryFile[]>();
  for (const [split, patterns] of config.splits) {
    const whole = patterns.map((pattern) => inFolder(folder, pattern));
    const found = all.filter(({ path }) => whole.some((pattern) => matches(pattern, path)));
    // What cannot be read would be missing.
    if (!found.every(({ path }) => READABLE.test(path))) return undefined;
    if (found.length > 0) splits.set(split, found);
  }
  return splits.size > 0 ? { name: config.name, splits } : undefined;
}

/** Throws DataError for patterns that take too long to match. */
function checkWork(name: string, splits: ReadonlyMap<string, readonly string[]>, files: readonly RepositoryFile[]) {
  const length = (texts: Iterable<string>) => [...texts].reduce((sum, text) => sum + text.length + 1, 0);
  const steps = length([...splits.values()].flat()) * length(files.map(({ path }) => path));
  if (steps > LIMITS.patternSteps)
    throw new DataError("The card of the data set has too many patterns of files", { where: name, hint: CARD_HINT });
}

const DEFAULT: CardConfig = { name: "default", isDefault: true, splits: undefined, folder: "" };

/** The configurations of a branch on which all files are CONFIG/SPLIT/0000.parquet; undefined for any other one. */
function exported(files: readonly RepositoryFile[]): Configuration[] | undefined {
  const configs = new Map<string, Map<string, RepositoryFile[]>>();
  for (const file of files) {
    const [, name, split] = /^([^/]+)\/(?:partial-)?([^/]+)\/\d{4,}\.parquet$/.exec(file.path) ?? [];
    if (name === undefined || split === undefined) return undefined;
    const splits = configs.get(name) ?? new Map<string, RepositoryFile[]>();
    configs.set(name, splits);
    add(splits, split, file);
  }
  return configs.size > 0 ? [...configs].map(([name, splits]) => ({ name, splits })) : undefined;
}

function add<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list) list.push(item);
  else lists.set(key, [item]);
}

/** What `pickConfig` needs to know of a configuration. */
interface Choosable {
  name: string;
  isDefault?: boolean;
  splits: ReadonlyMap<string, unknown> | undefined;
}

function pickConfig<T extends Choosable>(name: string, configs: readonly T[], asked: string | undefined): T {
  const names = configs.map((config) => config.name);
  const found = configs.map(({ name: one, splits }) => (splits ? `${one} (${[...splits.keys()].join(", ")})` : one));
  if (asked !== undefined) {
    const config = configs.find((one) => one.name === asked);
    if (config) return config;
    const near = nearest(asked, names);
    throw new DataError(`The data set has no configuration "${asked}"`, {
      where: name,
      found: nameList(found),
      hint: near === undefined ? `give one of these, such as ${name}:${names[0]}` : `did you mean ${name}:${near}?`,
    });
  }
  const usual = configs.find(({ isDefault }) => isDefault) ?? configs.find((one) => one.name === "default");
  if (usual) return usual;
  if (configs.length === 1) return configs[0]!;
  throw new DataError("The data set has several configurations", {
    where: name,
    found: nameList(found),
    hint: `give one of these, such as ${name}:${names[0]}`,
  });
}

const inFolder = (folder: string, pattern: string) => {
  const plain = pattern.replace(/^(\.?\/)+/, "");
  return folder === "" ? plain : `${folder}/${plain}`;
};

/** Words by which a split is recognized, in a folder's or a file's name. */
const KEYWORDS: Readonly<Record<string, readonly string[]>> = {
  train: ["train", "training"],
  validation: ["validation", "valid", "dev", "val"],
  test: ["test", "testing", "eval", "evaluation"],
};

/** The usual name of a split: "train", "validation" or "test"; undefined for any other one. */
export function usualSplit(split: string): string | undefined {
  return Object.keys(KEYWORDS).find((usual) => KEYWORDS[usual]!.includes(split.toLowerCase()));
}

/** The splits of files without a card: by folders, else by file names, else all are for training. */
function byNames(all: readonly RepositoryFile[], skip: number): Map<string, readonly RepositoryFile[]> {
  const files = ofOneFormat(all);
  const segments = (path: string) => path.slice(skip).split("/");
  for (const parts of [(path: string) => segments(path).slice(0, -1), (path: string) => segments(path).slice(-1)]) {
    const splits = new Map<string, RepositoryFile[]>();
    for (const file of files) {
      const words = parts(file.path).flatMap((part) => part.toLowerCase().split(/[-._ 0-9]+/));
      const split = Object.keys(KEYWORDS).find((usual) => KEYWORDS[usual]!.some((word) => words.includes(word)));
      if (split !== undefined) add(splits, split, file);
    }
    if (splits.size > 0) return splits;
  }
  return new Map(files.length > 0 ? [["train", files]] : []);
}

/** The files of the most frequent format: others are the same data again, or about it. */
function ofOneFormat(files: readonly RepositoryFile[]): readonly RepositoryFile[] {
  const groups = [/\.parquet$/i, /\.[ct]sv$/i, /\.(jsonl|ndjson|json)$/i, /\.txt$/i].map((ending) =>
    files.filter(({ path }) => ending.test(path)),
  );
  return groups.reduce((most, group) => (group.length > most.length ? group : most));
}

/** Whether a path matches a pattern: `*` and `?` within a name, `**` across folders, `[...]` one character of several. */
export function matches(pattern: string, path: string): boolean {
  const parts = pattern.match(/\*\*\/?|\[(?:!?\]?[^\]]*)\]|[\s\S]/g) ?? [];
  // The positions in `path` up to which the parts so far can match: its length times theirs is all the work there is.
  let reached = new Set([0]);
  for (const part of parts) {
    const next = new Set<number>();
    for (const at of reached) {
      if (part === "**" || part === "*") {
        for (let end = at; ; end++) {
          next.add(end);
          if (end === path.length || next.has(end + 1) || (part === "*" && path[end] === "/")) break;
        }
      } else if (part === "**/") {
        next.add(at);
        for (let slash = path.indexOf("/", at); slash >= 0; slash = path.indexOf("/", slash + 1)) next.add(slash + 1);
      } else if (at < path.length && isOneOf(part, path[at]!)) next.add(at + 1);
    }
    reached = next;
    if (reached.size === 0) return false;
  }
  return reached.has(path.length);
}

/** Whether a part of a pattern that stands for one character stands for this one. */
function isOneOf(part: string, character: string): boolean {
  if (part === "?") return character !== "/";
  if (part.length === 1) return part === character;
  const isNot = part[1] === "!";
  const set = part.slice(isNot ? 2 : 1, -1);
  let found = false;
  for (let i = 0; i < set.length; i++) {
    const isRange = set[i + 1] === "-" && i + 2 < set.length;
    found ||= isRange ? set[i]! <= character && character <= set[i + 2]! : set[i] === character;
    if (isRange) i += 2;
  }
  return found !== isNot && character !== "/";
}
