/** A study's recommendation: one setting, its comparison with the others, and the command that trains it by hand. */

import { isEncoder } from "../../core/config.ts";
import { shellWord } from "../../core/quote.ts";
import { type Standing, stateP } from "../../core/statistics.ts";
import { DATA_NAMES } from "../../data/settings.ts";
import type { TrainingData } from "../../data/training-data.ts";
import { type Block, code, text } from "../../document/blocks.ts";
import { brief } from "../../document/cells.ts";
import { METHODS } from "../../methods/index.ts";
import { trainOptions } from "../../run/settings.ts";
import { bestOf, type Measure, readFigure } from "../../tasks/compare.ts";
import { hasHead } from "../../tasks/index.ts";
import { isUnequal } from "../../train/class-weights.ts";
import { DEFAULTS, type Known } from "../../train/options.ts";
import { type RunSettings, SETTING_NAMES, SETTINGS, type TrainOptions } from "../../train/settings.ts";
import { judgedBy, nameMeasure, showEstimate } from "../../views/measures.ts";
import { asArguments } from "../../views/terminal/flag-words.ts";
import { rateWords, type SweepSpec } from "../grid.ts";
import type { Candidate } from "../halving.ts";
import { bestOutcome, bestTrial, longestOf, type Outcome, recommended, testEstimate, testPairs } from "../outcome.ts";
import type { TrialRecord } from "../store.ts";

/** A study's request, apart from its data and seeds. */
export interface Asked extends Partial<Pick<SweepSpec, "base" | "known">> {
  /** On the choice of settings. */
  about?: string | undefined;
  /** The candidates that it chose from by halving. */
  candidates?: readonly Candidate[] | undefined;
}

/**
 * A sentence, and a command where it is known what was asked; nothing if no trial is finished. `called`: how train is
 * called.
 */
export function recommendation(
  outcomes: readonly Outcome[],
  data: TrainingData,
  asked: Asked,
  called = "npx lowrank train",
): Block[] {
  const { base, known, candidates } = asked;
  const measure = judgedBy(data);
  const best = recommended(outcomes, measure);
  const run = bestTrial(outcomes, best);
  if (!best || !run) return [];
  // Of a study that has halved also its setting after other numbers of epochs.
  const halved = candidates?.map(({ rungs }) => rungs.flat()).find((trials) => isOf(best, trials));
  const bestTrials = halved ?? best.trials.map(({ trial }) => trial);
  const others = outcomes.filter((outcome) => !isOf(outcome, bestTrials));
  const settings = candidates ? longestOf(candidates, outcomes).length : outcomes.length;
  const against = [...againstBaseline(run, measure), ...againstNext(best, bestOutcome(others), measure, outcomes)];
  const isLowest = best === bestOutcome(outcomes);
  const lowest = settings > 1 ? `, which has the lowest validation loss of ${settings} settings` : "";
  const ofTuned = isLowest ? lowest : ", which is better than the linear probe on the validation set";
  const why = METHODS[best.mode].isFitted ? ofProbe(outcomes.length - 1, data.val.size) : ofTuned;
  const sentence = text(recommend(best, why, against, measure));
  if (!base) return [sentence];
  const { model, options } = settingOf(best);
  const words = trainArguments(base, known?.(model), data, model, options);
  return [sentence, text("This trains it by hand:"), code([called, ...words].join(" "))];
}

function settingOf({ trials: [first] }: Outcome): { model: string; options: TrainOptions } {
  return { model: first!.trial.model, options: first!.options };
}

const isOf = ({ trials: [first] }: Outcome, trials: readonly { key: string }[]) =>
  trials.some(({ key }) => key === first!.trial.key);

/** Why a probe is recommended, of which nothing is to be chosen. */
function ofProbe(others: number, rows: number): string {
  const best = others === 1 ? "the other one" : `the best of ${others} others`;
  const compared = others > 0 ? `: on ${rows} validation rows ${best} is not distinguishably better` : "";
  return `, which takes seconds${compared}`;
}

/** `why`: behind its name. */
function recommend(best: Outcome, why: string, [first, second]: readonly Against[], measure: Measure): string {
  const { label } = best;
  const figure = showEstimate(measure, testEstimate(best));
  const rate = label.includes("rate ") ? "" : rateWords(best).map((word) => `, ${word}`);
  const isSame = first?.standing === second?.standing;
  const compared = [
    first ? `: ${asWords(first.standing)} ${first.other}` : "",
    second ? ` and ${isSame ? "" : `${asWords(second.standing)} `}${second.other}` : "",
  ].join("");
  return `Recommended: ${label}${rate}${why}. Its test ${nameMeasure(measure)} is ${figure}${compared}.`;
}

interface Against {
  standing: Standing;
  /** With its figure and p. */
  other: string;
}

/** A run against the best of its baselines. */
function againstBaseline({ results }: TrialRecord, measure: Measure): Against[] {
  const top = bestOf(measure, results.test.compared.slice(1));
  if (!top?.against) return [];
  const { standing, p } = top.against;
  const figure = measure.format(readFigure(top.measured[measure.key])!);
  return [{ standing, other: `"${brief(top.name)}" (${figure}, ${stateP(p)})` }];
}

/** Against the setting with the next validation loss. */
function againstNext(
  best: Outcome,
  next: Outcome | undefined,
  measure: Measure,
  outcomes: readonly Outcome[],
): Against[] {
  if (!next) return [];
  const name = next === bestOutcome(outcomes) ? "the setting with the lowest validation loss" : "the next best setting";
  const [tested] = testPairs([[best, next]], measure);
  const { standing, p } = tested!;
  return [{ standing, other: `${name}, ${next.label} (${measure.format(next.test.mean)}, ${stateP(p)})` }];
}

const asWords = (standing: Standing) =>
  standing === "not distinguishable" ? "not distinguishable from" : `${standing} than`;

/** The arguments of train with which it trains this trial. */
export function trainArguments(
  base: RunSettings,
  known: Known | undefined,
  data: TrainingData,
  model: string,
  options: TrainOptions,
): string[] {
  const { data: file, ...reading } = readingSettings(base, data);
  const isPlain = typeof file === "string" && !file.startsWith("-");
  const given = givenOptions(base, known, isUnequal(data), options);
  const flags = { ...(isPlain || !file ? {} : { data: file }), ...reading, model, ...given };
  return [...(isPlain ? [file] : []), ...Object.entries(flags).flatMap(asArguments)].map((word) => shellWord(word));
}

/** The settings of data. Where texts were cut, or made of one, it is said how long they are. */
function readingSettings(base: RunSettings, { objective, maxLength, stats }: TrainingData): RunSettings {
  const names = [...DATA_NAMES, "objective" as const].filter((name) => base[name] !== undefined);
  const isCut = [stats.train, stats.val, stats.test].some((set) => "cut" in set && set.cut > 0);
  const length = hasHead({ objective }) && !isCut ? {} : { maxLength };
  return { ...length, ...Object.fromEntries(names.map((name) => [name, base[name]])) };
}

/** The options that have to be given: those that are not the defaults of what is given already. */
function givenOptions(
  { objective }: RunSettings,
  known: Known | undefined,
  isWeighted: boolean,
  options: TrainOptions,
): Partial<TrainOptions> {
  const { mode } = options;
  const names = SETTING_NAMES.filter((name) => !SETTINGS[name].sameBits && (isWeighted || name !== "classWeights"));
  // On an encoder the default depends on what else is given.
  let given: Partial<TrainOptions> = mode === DEFAULTS.mode && !isEncoder(known ?? {}) ? {} : { mode };
  const differing = () => {
    const resolved = trainOptions({ ...given, ...(objective ? { objective } : {}) }, known);
    return names.find((name) => !(name in given) && JSON.stringify(resolved[name]) !== JSON.stringify(options[name]));
  };
  for (let name = differing(); name; name = differing()) given = { ...given, [name]: options[name] };
  return given;
}
