/** Which files of a hub repository are which split of which configuration: by its card, or by the files' names. */
import { CST, Lexer, parse, YAMLParseError } from "yaml";
import { DataError, FormatError, nameList } from "../errors.ts";
import { LIMITS } from "../io/limits.ts";
import { nearest } from "../suggest.ts";
import { classNames } from "./columns.ts";

interface RepositoryFile {
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
const asList = (value: unknown): unknown[] => (Array.isArray(value) ? value : value === undefined ? [] : [value]);
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((one) => typeof one === "string");

/** Reads a README.md. Throws FormatError if its YAML, or what it says of configurations, is invalid. */
export function parseCard(readme: string, where: string): Card {
  const head = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(readme)?.[1] ?? "";
  checkTokens(head, where);
  let card: unknown;
  try {
    // Each of its pretty errors quotes the text from its start.
    card = parse(head, { logLevel: "error", uniqueKeys: false, prettyErrors: false }) ?? {};
  } catch (cause) {
    const line = cause instanceof YAMLParseError ? `:${head.slice(0, cause.pos[0]).split("\n").length + 1}` : "";
    throw new FormatError("invalid-dataset-card", "the card of the data set is not valid YAML", {
      where: `${where}${line}`,
      found: (cause as Error).message,
      hint: CARD_HINT,
      cause,
    });
  }
  if (!isObject(card)) refuse(where, "keys and values", "other YAML");
  return {
    configs: asList(card.configs ?? undefined).map((config) => parseCardConfig(config, where)),
    infos: asList(card.dataset_info ?? undefined).flatMap((info) => (isObject(info) ? [parseCardInfo(info)] : [])),
  };
}

/** Throws FormatError for YAML that would take too much time or memory to parse: by its tokens and its nesting. */
function checkTokens(head: string, where: string): void {
  const { card, cardTokens, jsonDepth } = LIMITS;
  if (head.length > card) refuse(where, `at most ${card} characters of YAML`, `${head.length}`);
  let [tokens, depth] = [0, 0];
  for (const token of new Lexer().lex(head)) {
    if (++tokens > cardTokens) refuse(where, `at most ${cardTokens} words and signs of YAML`, "more");
    const kind = CST.tokenType(token);
    if (kind === "flow-seq-start" || kind === "flow-map-start") depth++;
    if (kind === "flow-seq-end" || kind === "flow-map-end") depth--;
    if (depth < 0 || depth > jsonDepth)
      refuse(where, `brackets in pairs, nested at most ${jsonDepth} deep`, depth < 0 ? "one too many" : "deeper ones");
  }
}

const CARD_HINT =
  "tell the data set's owner; or download its files, and give them with --data, or --train, --val and --test";

function refuse(where: string, expected: string, found: string): never {
  throw new FormatError("invalid-dataset-card", "the card of the data set is invalid", {
    where,
    expected,
    found,
    hint: CARD_HINT,
  });
}

function parseCardConfig(config: unknown, where: string): CardConfig {
  const { config_name: name, data_files, data_dir = "", default: isDefault } = isObject(config) ? config : {};
  if (typeof name !== "string" || typeof data_dir !== "string")
    refuse(where, "configs: a list of config_name and data_files", inWords(config));
  const splits = data_files === undefined || data_files === null ? undefined : parseSplits(data_files);
  if (splits === null) refuse(where, "data_files: patterns, or a list of split and path", inWords(data_files));
  const long = [data_dir, ...[...(splits?.values() ?? [])].flat()].find(({ length }) => length > LIMITS.path);
  if (long !== undefined) refuse(where, `paths of at most ${LIMITS.path} characters`, `${long.length} characters`);
  return { name, isDefault: isDefault === true, splits, folder: data_dir.replace(/^(\.?\/)+|\/+$/g, "") };
}

/** What a value is, in words: it may contain itself. */
function inWords(value: unknown): string {
  if (isObject(value)) return nameList(Object.keys(value));
  return Array.isArray(value) ? "a list" : String(value);
}

/** The patterns of each split; null for another form. */
function parseSplits(files: unknown): Map<string, readonly string[]> | null {
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

function parseCardInfo({ config_name, features }: Json): CardInfo {
  const classes = new Map<string, readonly string[]>();
  for (const feature of asList(features)) {
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
 * The configuration `asked`, or the default one, with the files of its splits. Undefined if it has no file that can be
 * read. Throws DataError for an unknown one, and for several without a default.
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
  let steps = 0;
  const spend = (some: number) => {
    steps += some;
    if (steps > LIMITS.patternSteps)
      throw new DataError("exceeds-limit", "The card of the data set has too many patterns of files", {
        where: name,
        hint: CARD_HINT,
      });
  };
  const splits = new Map<string, readonly RepositoryFile[]>();
  for (const [split, patterns] of config.splits) {
    const matchers = patterns.map((pattern) => matcher(inFolder(folder, pattern), spend));
    const found = all.filter(({ path }) => matchers.some((matches) => matches(path)));
    // What cannot be read would be missing.
    if (!found.every(({ path }) => READABLE.test(path))) return undefined;
    if (found.length > 0) splits.set(split, found);
  }
  return splits.size > 0 ? { name: config.name, splits } : undefined;
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
    throw new DataError("no-such-configuration", `The data set has no configuration "${asked}"`, {
      where: name,
      found: nameList(found),
      hint: near === undefined ? `give one of these, such as ${name}:${names[0]}` : `did you mean ${name}:${near}?`,
    });
  }
  const usual = configs.find(({ isDefault }) => isDefault) ?? configs.find((one) => one.name === "default");
  if (usual) return usual;
  if (configs.length === 1) return configs[0]!;
  throw new DataError("ambiguous-configuration", "The data set has several configurations", {
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

/**
 * Whether a path matches a pattern: `*` and `?` within a name, `**` across folders, `[...]` one character of several.
 * `spend` is told the steps of the work before they are taken.
 */
export function matcher(pattern: string, spend: (steps: number) => void = () => {}): (path: string) => boolean {
  const parts = pattern.match(/\*\*\/?|\[(?:!?\]?[^\]]*)\]|[\s\S]/g) ?? [];
  return (path) => {
    // The positions in `path` up to which the parts so far can match, in order.
    let reached = [0];
    for (const part of parts) {
      spend(part.startsWith("*") ? path.length : part.length * reached.length);
      reached = reachedBy(part, path, reached);
      if (reached.length === 0) return false;
    }
    return reached.at(-1) === path.length;
  };
}

function reachedBy(part: string, path: string, before: readonly number[]): number[] {
  const [first] = before as [number];
  const next: number[] = [];
  if (part === "**") for (let at = first; at <= path.length; at++) next.push(at);
  else if (part === "**/") {
    for (let at = first, i = 0; at <= path.length; at++) {
      const isOwn = before[i] === at;
      if (isOwn) i++;
      if (isOwn || path[at - 1] === "/") next.push(at);
    }
  } else if (part === "*") {
    for (const at of before) {
      // The rest of this name is reached already.
      if (next.length > 0 && next.at(-1)! >= at) continue;
      const slash = path.indexOf("/", at);
      for (let end = at; end <= (slash < 0 ? path.length : slash); end++) next.push(end);
    }
  } else for (const at of before) if (at < path.length && matchesCharacter(part, path[at]!)) next.push(at + 1);
  return next;
}

/** Whether a part of a pattern that stands for one character stands for this one. */
function matchesCharacter(part: string, character: string): boolean {
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
