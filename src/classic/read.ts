/** Reads the file of a classic model. */
import { exists, isServed } from "#platform";
import {
  checkArguments,
  checkVersion,
  findWrongIn,
  isListOf,
  isText,
  isWithin,
  parseChoice,
  show,
  type Tree,
} from "../core/checks.ts";
import { ConfigError, FormatError } from "../core/errors.ts";
import { readJson } from "../io/common.ts";
import { asDirectory, folderWith, inZip } from "../io/folder.ts";
import { LIMITS } from "../io/limits.ts";
import { isZip } from "../platform/paths.ts";
import { isOfMessages, OBJECTIVES, TASKS } from "../tasks/index.ts";
import { countOutputs, FORMAT, type StoredVocabulary, VERSION } from "./file.ts";
import { CLASSIC, type ClassicParts, placeOf } from "./parts.ts";
import { ANALYZERS, type Ngrams, Tfidf } from "./tfidf.ts";

/** Reads classic.json of a directory or a zip file, or the file of this path. Throws ConfigError or FormatError. */
export async function readClassic(path: string): Promise<ClassicParts> {
  checkArguments({ path }, { path: "text" });
  if (!isZip(path) || !(await isThere(path))) return readFile(path);
  // Imported on demand: few models are in a zip file.
  return inZip(path, (files) => asDirectory(path, folderWith(files, [CLASSIC]), readFile));
}

const isThere = async (file: string) => isServed(file) || (await exists(file));

async function readFile(path: string): Promise<ClassicParts> {
  const file = placeOf(path);
  if (!(await isThere(file)))
    throw new ConfigError("no-classic-model", "there is no classic model", {
      where: path,
      expected: `a run directory or a zip file with ${CLASSIC}, or such a file`,
      found: (await exists(path)) ? `no ${CLASSIC}` : `no such ${isZip(path) ? "file" : "directory"}`,
      hint: "runs that classify or score messages, and have a test set, keep one",
    });
  return parseClassic(await readJson(file, LIMITS.classic), file);
}

const COUNTS = [
  "whole numbers",
  (value: unknown) => isListOf(value, (one) => isWithin(one, { min: 0, whole: true })),
] as const;
const FINITE = ["finite numbers", (value: unknown) => isListOf(value, Number.isFinite)] as const;

const KINDS: Tree = {
  ...{ name: "text", limits: "text?", labels: "texts", rows: "size", intercept: FINITE },
  "pairs?": { columns: ["two strings", (value) => isListOf(value, isText) && value.length === 2] },
  vocabularies: [
    {
      ...{ text: "count", analyzer: "text", ngrams: "texts", df: COUNTS },
      coef: ["arrays of finite numbers", (value) => isListOf(value, (one) => isListOf(one, Number.isFinite))],
    },
  ],
};

/** The model of a classic.json. Throws FormatError unless it is one, all through. */
export function parseClassic(json: unknown, where: string): ClassicParts {
  const refuse = (name: string, expected: string, found: unknown): never => {
    throw new FormatError("invalid-field", `${name} is invalid`, { where, expected, found: show(found) });
  };
  const given = (json ?? {}) as ClassicParts & {
    [key in "format" | "version" | "rows"]: number;
  } & { intercept: number[]; vocabularies: StoredVocabulary[] };
  if ((given.format as unknown) !== FORMAT) refuse("format", FORMAT, given.format);
  checkVersion("the classic model", given.version, VERSION, where);
  const objective = parseChoice("objective", given.objective, OBJECTIVES.filter(isOfMessages), where);
  const wrong = findWrongIn(given, KINDS);
  if (wrong) refuse(wrong.key, wrong.expected, wrong.value);
  const { name, limits, labels, pairs, rows, intercept, vocabularies } = given;
  const { least, most = Infinity } = TASKS[objective].outputs;
  if (labels.length < least || labels.length > most || new Set(labels).size < labels.length)
    refuse("labels", `${least}${most === least ? "" : " or more"} different names`, labels);
  const outputs = countOutputs(objective, labels.length);
  if (intercept.length !== outputs) refuse("intercept", `${outputs} numbers`, intercept.length);
  const count = ANALYZERS.length * (pairs ? 2 : 1);
  if (vocabularies.length !== count) refuse("vocabularies", String(count), vocabularies.length);
  for (const [i, { text, analyzer, ngrams, df, coef }] of vocabularies.entries()) {
    const [kind, of] = [ANALYZERS[i % ANALYZERS.length], Math.floor(i / ANALYZERS.length)];
    if (analyzer !== kind || text !== of)
      refuse(`vocabularies[${i}]`, `${kind} of text ${of}`, `${analyzer} of ${text}`);
    if (df.length !== ngrams.length || df.some((one) => one > rows))
      refuse(`vocabularies[${i}].df`, `${ngrams.length} numbers, at most ${rows}`, df.length);
    if (coef.length !== outputs || coef.some((row) => row.length !== ngrams.length))
      refuse(`vocabularies[${i}].coef`, `${outputs} of ${ngrams.length} numbers`, coef.length);
  }
  const tfidf = Tfidf.of(
    vocabularies.map(({ ngrams, df }): Ngrams => ({ ngrams, rows: df })),
    rows,
  );
  const weights = new Float64Array((tfidf.width + 1) * outputs);
  let at = 0;
  for (const { ngrams, coef } of vocabularies)
    for (const column of ngrams.keys()) for (const row of coef) weights[at++] = row[column]!;
  weights.set(intercept, at);
  return { objective, name, labels, tfidf, weights, ...(limits ? { limits } : {}), ...(pairs ? { pairs } : {}) };
}
