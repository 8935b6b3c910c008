/** study.json: what the trials of a study have in common, and what was asked. It marks a directory as a study's. */
import { absolutePath, exists, joinPath, listDirectory, writeFileAtomic } from "#platform";
import { checkVersion, findWrongIn, isObject, show, type Tree } from "../core/checks.ts";
import { ConfigError, FormatError, nameList } from "../core/errors.ts";
import { digestData } from "../data/digest.ts";
import type { TrainingData } from "../data/training-data.ts";
import { readJson } from "../io/common.ts";
import { fingerprint } from "../io/fingerprint.ts";
import type { BaseModel } from "../io/hf.ts";
import { LIMITS } from "../io/limits.ts";
import { isLeftByOthers, readMarker, refuseUncreatable } from "../io/marker.ts";
import { STUDY, TRIALS } from "../io/peft/open-adapter.ts";
import { dataName, type RunRecord } from "../record/record.ts";
import { RUN } from "../run/directory.ts";
import { OBJECTIVES, type Objective } from "../tasks/index.ts";
import { missingSet } from "../train/prepare.ts";
import type { FoldsAsked } from "./folds.ts";
import type { SweepSpec } from "./grid.ts";

const FORMAT = "lowrank-study";
const VERSION = 1;

export interface StudyRecord {
  objective: Objective;
  /** The source of the data, with the options it was read with, and its `digestData`. */
  data: { source: RunRecord["data"]; sha256: string };
  /** `fingerprint` of each base model, by its name in the settings. */
  bases: Record<string, string>;
  /** Which trials were asked for last. */
  spec: Pick<SweepSpec, "base" | "arms">;
  seeds: number;
  /** The folds that all rows are divided into, instead of trials on a test set. */
  folds?: FoldsAsked | undefined;
  /** The name of the run that answers, once there is one. */
  best?: string | undefined;
  /** The report's words on the choice of settings. */
  about?: string | undefined;
}

const isObjective = (value: unknown) => OBJECTIVES.includes(value as Objective);
const isBase = (value: unknown) => isObject(value) && (value.objective === undefined || isObjective(value.objective));

const KINDS: Tree = {
  objective: ["an objective", isObjective],
  data: { source: "object", sha256: "text" },
  bases: "named texts",
  spec: { base: ["settings, of a known objective", isBase], arms: "objects" },
  seeds: "size",
  about: "text?",
  best: "text?",
  "folds?": { count: "size", final: "boolean" },
};

/**
 * The study of this data and these models, by their names in the settings. Throws ConfigError for data by which
 * settings cannot be chosen, or on which they cannot be compared.
 */
export async function recordStudy(
  data: TrainingData,
  models: Iterable<readonly [name: string, model: BaseModel]>,
  requested: Pick<StudyRecord, "spec" | "seeds" | "folds" | "about">,
): Promise<StudyRecord> {
  const { objective, origin: source } = data;
  if (!requested.folds) checkSets(data);
  const bases: Record<string, string> = {};
  for (const [name, model] of models) bases[name] = await fingerprint(model);
  return { objective, data: { source, sha256: await digestData(data) }, bases, ...requested };
}

function checkSets(data: TrainingData): void {
  for (const [name, set] of [
    ["validation", data.val],
    ["test", data.test],
  ] as const)
    if (set.size === 0)
      throw missingSet(
        name,
        "several runs need",
        "a validation set by which settings are chosen, and a test set on which they are compared",
      );
}

/** The study of a directory; undefined: there is none. Its settings are checked where trials are made of them. */
export async function readStudy(out: string): Promise<StudyRecord | undefined> {
  const where = joinPath(out, STUDY);
  if (!(await exists(where))) return undefined;
  const { format, version, ...study } = ((await readJson(where, LIMITS.ownJson)) ?? {}) as Record<string, unknown>;
  if (format === FORMAT) checkVersion("the study", version, VERSION, where);
  else
    throw new FormatError("invalid-field", `not a ${STUDY}`, {
      where,
      expected: `format ${FORMAT}`,
      found: `format ${show(format)}`,
    });
  const wrong = findWrongIn(study, KINDS);
  if (!wrong) return study as unknown as StudyRecord;
  const { key, expected, value } = wrong;
  throw new FormatError("invalid-field", `${key} is invalid`, { where, expected, found: show(value) });
}

/** The directory of the study that is in this directory, or that one of its trials is in; undefined: none. */
export async function findStudy(directory: string): Promise<string | undefined> {
  if (await exists(joinPath(directory, STUDY))) return directory;
  const [, out, folder] = /^(.*)[\\/]([^\\/]+)[\\/][^\\/]+$/.exec(absolutePath(directory)) ?? [];
  return folder === TRIALS && (await exists(joinPath(out!, STUDY))) ? out : undefined;
}

/**
 * The study that is in an output directory; undefined if that is new or empty. Throws ConfigError if it cannot be made,
 * or has anything else in it.
 */
export async function refuseForeign(out: string): Promise<StudyRecord | undefined> {
  await refuseUncreatable(out);
  // Listed before: another process may begin the study meanwhile, study.json first.
  const entries = (await exists(out)) ? await listDirectory(out).catch(() => ["a file"]) : [];
  const begun = await readStudy(out);
  const others = entries.filter((name) => !isLeftByOthers(name));
  if (begun || others.length === 0) return begun;
  throw new ConfigError("output-exists", "the output directory has something else than a study in it", {
    where: out,
    expected: `a new path, an empty directory, or one with a ${STUDY}`,
    found: (await readMarker(out, RUN)) ? "a run" : nameList(others),
    hint: "choose another output directory",
  });
}

/**
 * Makes the directory a study's, or resumes the study in it. Throws ConfigError if that has other data, another
 * objective or another base model of the same name.
 */
export async function beginStudy(out: string, study: StudyRecord): Promise<void> {
  const begun = await refuseForeign(out);
  refuseOther(out, begun, study);
  await writeStudy(out, { ...study, bases: { ...begun?.bases, ...study.bases }, best: begun?.best });
}

async function writeStudy(out: string, study: StudyRecord): Promise<void> {
  const json = JSON.stringify({ format: FORMAT, version: VERSION, ...study }, null, 1);
  await writeFileAtomic(joinPath(out, STUDY), `${json}\n`);
}

/** Notes which run answers: what uses one run takes it from the study's directory. */
export async function keepBest(out: string, best: { name: string } | undefined): Promise<void> {
  const study = await readStudy(out);
  if (study && best) await writeStudy(out, { ...study, best: best.name });
}

/** "messages.csv (SHA-256 1f3c9a20...)" */
const describeData = ({ data: { source, sha256 } }: StudyRecord) =>
  `${dataName({ data: source, settings: {} })} (rows and split: SHA-256 ${sha256.slice(0, 16)}...)`;

/** Throws ConfigError if the study that is in a directory, if any, has trials that are none of this one. */
export function refuseOther(out: string, begun: StudyRecord | undefined, study: StudyRecord): void {
  if (!begun) return;
  const differs = (what: string, expected: string, found: string): never => {
    throw new ConfigError("inputs-changed", `the directory has a study of ${what}`, {
      where: out,
      expected,
      found,
      hint: "choose another directory",
    });
  };
  if (begun.objective !== study.objective) differs("another objective", begun.objective, study.objective);
  if (begun.data.sha256 !== study.data.sha256) differs("other data", describeData(begun), describeData(study));
  const base = Object.keys(study.bases).find((name) => (begun.bases[name] ?? study.bases[name]) !== study.bases[name]);
  const describeBase = ({ bases }: StudyRecord) => `${base} (fingerprint ${bases[base!]!.slice(0, 16)}...)`;
  if (base !== undefined) differs("another base model", describeBase(begun), describeBase(study));
}
