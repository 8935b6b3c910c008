/** A run's results in sentences: against its baselines, what was chosen, what to try next. */

import { capital, formatCount, formatDuration, formatLoss, percent } from "../core/format.ts";
import { setting } from "../core/setting.ts";
import { type Estimate, estimateDifference, type Standing, wilson } from "../core/statistics.ts";
import type { Tone } from "../document/blocks.ts";
import { brief } from "../document/cells.ts";
import { METHODS, takesSteps } from "../methods/index.ts";
import { describeMethod } from "../methods/training.ts";
import { keptEvaluation, type RunRecord } from "../record/record.ts";
import { bestOf, type Compared, type Measure, merit, readFigure } from "../tasks/compare.ts";
import { hasHead } from "../tasks/index.ts";
import { FEW_ROWS } from "../tasks/message-words.ts";
import type { Results } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";
import { WORDS } from "../tasks/words.ts";
import { sinceBest } from "../train/best.ts";
import { defaultRate, LARGE, smallerRate } from "../train/options.ts";
import type { EvaluationRecord } from "../train/records.ts";
import { judgedBy, LOSS, nameMeasure, showDifference, showEstimate, showMeasure, shownMeasures } from "./measures.ts";

/** With fewer test rows, a run that learned much may not be distinguishable from the most frequent class. */
const ENOUGH_ROWS = 50;

/** "LoRA, rank 8: 1,010 examples in 45 s, including evaluation" */
export function describeEffort({ options, objective, examples, seconds, evaluations }: RunRecord): string {
  const { seen } = WORDS[objective].units;
  const evaluated = evaluations.length > 0 ? ", including evaluation" : "";
  return `${describeMethod(options)}: ${formatCount(examples)} ${seen} in ${formatDuration(seconds)}${evaluated}`;
}

/**
 * "284 of 300 test messages right", or the perplexity; of a run without a test set, that it was not measured.
 * Null: the run has not finished, or nothing is known of it.
 */
export function headline(record: RunRecord): string | null {
  const { results, state, step, objective } = record;
  if (results) return WORDS[objective].headline(record, results);
  return state === "finished" && step > 0 ? describeUntested(record) : null;
}

function describeUntested(record: RunRecord): string {
  const evaluation = keptEvaluation(record);
  if (evaluation) return `No test set: measured on the validation set alone, ${describeValidation(record, evaluation)}`;
  return `No test set: nothing was measured on unseen ${WORDS[record.objective].units.many}`;
}

function describeStopped(record: RunRecord): string {
  const { step, evaluations } = record;
  const last = evaluations.at(-1);
  if (!last) return `Stopped after step ${step}`;
  return `Stopped after step ${step}; last evaluation after step ${last.step}: validation ${describeValidation(record, last)}`;
}

/** "loss 0.31, accuracy 91.0 %" */
const describeValidation = (record: RunRecord, { val }: EvaluationRecord): string =>
  [LOSS, ...shownMeasures(record)]
    .map((measure) => `${nameMeasure(measure)} ${showMeasure(measure, val) ?? "–"}`)
    .join(", ");

/**
 * How good a run is, in one sentence each for it and for what it is compared with: "90 of 100 test messages right.
 * Always guessing ham: 56. A word-count model: 91, no clear difference."
 */
export function describeAnswer(record: RunRecord): string {
  const compared = comparedWith(record)
    .reverse()
    .map((competitor) => describeCompared(record, competitor));
  const answer = (headline(record) ?? describeStopped(record)) + describeUnseen(record);
  return [answer, ...compared].map((sentence) => `${sentence}.`).join(" ");
}

/** What the answer is worth. */
export function toneOf(record: RunRecord): Tone {
  const others = comparedWith(record);
  const guess = others.at(-1);
  if (!guess || hasThreshold(record)) return "unclear";
  const measure = judgedBy(record);
  if (merit(measure, record.results!.test.compared[0]) <= merit(measure, guess)) return "poor";
  const isBest = others.every(({ against }) => against?.standing === "better");
  return isBest && !areMostlyCopies(record) ? "good" : "unclear";
}

/** From this share of the test rows on, those without a near-copy among the training rows are said apart. */
const SOME_COPIES = 0.1;
/** From this one on, the test rows say too little of new texts. */
const MOST_COPIES = 0.5;

/** The share of the test rows that have a near-copy in the training or validation set. */
const shareOfCopies = (record: RunRecord) => {
  if (comparedWith(record).length === 0) return 0;
  const { rows, unseen } = record.results!.test.compared[0];
  return unseen ? 1 - unseen.rows / rows : 0;
};

/** The share of the test rows that differ from a training row in a few words at most. */
const shareAlike = (record: RunRecord) =>
  Math.max(shareOfCopies(record), ...comparedWith(record).map(({ alike = 0 }) => alike));

const areMostlyCopies = (record: RunRecord) => shareAlike(record) >= MOST_COPIES;

/** "; of the 22 that resemble no training row, 21", where others do. */
function describeUnseen(record: RunRecord): string {
  if (shareOfCopies(record) < SOME_COPIES) return "";
  const { unseen } = record.results!.test.compared[0];
  const { ofRows, format } = judgedBy(record);
  const figure = ofRows ? formatCount(Math.round(unseen!.value * unseen!.rows)) : format(unseen!.value);
  return `; of the ${formatCount(unseen!.rows)} that resemble no training row, ${figure}`;
}

/** The baselines of a run on labels; texts are compared with what they were before training. */
function comparedWith({ objective, results }: RunRecord): Compared[] {
  return TRAINING[objective].answers ? (results?.test.compared.slice(1) ?? []) : [];
}

const STANDINGS: Record<Standing, string> = {
  better: "clearly worse",
  worse: "clearly better",
  "not distinguishable": "no clear difference",
};

/**
 * Figures that differ by no more than this are as good: of shares in points of all rows, of others a part of the
 * figure.
 */
const MARGIN = 0.02;

/**
 * Whether a run and what it is compared with are as good: all of the difference's interval is within the margin. Rows
 * made of templates fit words best: there it need not even hold 0.
 */
function isAsGood(record: RunRecord, { against, measured }: Compared): boolean {
  if (against?.standing !== "not distinguishable" && !(against?.standing === "worse" && areMostlyCopies(record)))
    return false;
  const measure = judgedBy(record);
  const { low, high } = against.difference;
  const figure = measure.most === 1 ? 1 : Math.abs(readFigure(measured[measure.key])!);
  return Math.max(-low, high) <= MARGIN * figure;
}

function describeCompared(record: RunRecord, competitor: Compared): string {
  const measure = judgedBy(record);
  // What always says the same is expected to be worse.
  const { against } = competitor;
  const isExpected = against?.standing === "better" && competitor === comparedWith(record).at(-1);
  const words = isAsGood(record, competitor) ? "as good" : against && STANDINGS[against.standing];
  const standing = !words || isExpected || hasThreshold(record) ? "" : `, ${words}`;
  return `${capital(nameCompared(record, competitor))}: ${countRight(measure, competitor)}${standing}`;
}

/** The name of a baseline, as people say it: the last always says the same, that of messages is the classic model. */
export function nameCompared(record: RunRecord, competitor: Compared): string {
  if (competitor === record.results!.test.compared[0]) return competitor.name;
  if (competitor === comparedWith(record).at(-1)) return competitor.name.replace(/^always/, "always guessing");
  if (competitor.name.startsWith(METHODS.probe.title)) return `a ${METHODS.probe.title}`;
  return competitor.name.startsWith("TF-IDF") ? WORD_COUNT : competitor.name;
}

const WORD_COUNT = "a word-count model";

/** Whether it is the classic model of a run, which is kept with it unless the run is that of a fold. */
const isWordCount = (record: RunRecord, competitor: Compared) =>
  record.data.fold === undefined && nameCompared(record, competitor) === WORD_COUNT;

/** Whether the word-count model of a run is clearly better than it: texts are labelled by that one. */
export function isBeatenByWords(record: RunRecord): boolean {
  const best = bestOf(judgedBy(record), comparedWith(record));
  return best !== undefined && isBeatenBy(record, best) && isWordCount(record, best);
}

const isBeatenBy = (record: RunRecord, best: Compared) => best.against?.standing === "worse" && !isAsGood(record, best);

/** How many rows are right, or another figure. */
function countRight({ key, ofRows, format }: Measure, { measured, rows }: Compared): string {
  const value = readFigure(measured[key])!;
  return ofRows ? formatCount(Math.round(value * rows)) : format(value);
}

/** What to make of a result, and what to try; null: there is nothing to say. */
export function describeAdvice(record: RunRecord): string | null {
  const nothing = nothingLearned(record);
  return nothing ? `${nothing.text}. ${nothing.cause}. Try ${nothing.advice}.` : weighAgainstBest(record);
}

/** Notes on a result. */
export function describeNotes(record: RunRecord): string[] {
  return [
    ...fewRows(record),
    ...describeDrift(record),
    ...describeLimits(record),
    ...(record.results ? (WORDS[record.objective].notes?.(record, record.results) ?? []) : []),
    ...describeKept(record),
  ];
}

/** So much less is right of test rows that are of another kind than those that were trained on. */
const DRIFT = 0.05;

/** That the test rows are of another kind, where far fewer of them are right than of the validation rows. */
function describeDrift(record: RunRecord): string[] {
  const { ofRows, key } = judgedBy(record);
  const { accuracy: value, rows } = record.results?.after.val ?? {};
  // The accuracy of the validation rows is without a threshold.
  if (!ofRows || !rows || value === undefined || hasThreshold(record)) return [];
  const tested = record.results!.test.compared[0].measured[key] as Estimate;
  const { low } = estimateDifference({ value, ...wilson(Math.round(value * rows), rows) }, tested);
  if (low < DRIFT) return [];
  return [
    `Of the validation rows ${percent(value)} are right, of the test rows ${percent(tested.value)}: the test rows are of another kind. If new texts will be like them, add such rows to those to train.`,
  ];
}

/** The rows that baselines have left out. */
const describeLimits = ({ results }: RunRecord): string[] =>
  (results?.test.compared ?? []).flatMap(({ name, limits }) =>
    limits ? [`"${brief(name)}" was fitted in part: ${limits}.`] : [],
  );

/**
 * Whether labels are predicted by thresholds, which are chosen for other figures than the one that runs are judged by.
 */
const hasThreshold = (record: RunRecord) =>
  ruleOf(record) !== "none" && record.results?.decision?.reached === undefined;

const ruleOf = ({ options, results }: RunRecord) => results?.decision?.ofFolds ?? options.threshold;

const thresholdCost = (record: RunRecord, measure: Measure) =>
  `The run predicts by a threshold (${ruleOf(record)}), which can lower the ${nameMeasure(measure)}, and the baseline has none.`;

/** That a run has learned nothing, the probable cause, and the settings to try. */
interface NothingLearned {
  text: string;
  cause: string;
  advice: string;
  set: { lr: number } | { epochs: number };
}

/** Fewer steps than these can be too few to learn from at a usual rate. */
const FEW_STEPS = 50;
/** A rate below this part of the usual one is too low; one that is advised after a usual one is not. */
const VERY_LOW = 20;

/** Advice to a finished run that has learned nothing; null if it has learned something. */
export function nothingLearned(record: RunRecord): NothingLearned | null {
  const { results } = record;
  // Of a classic model there is nothing to set.
  if (!results || !takesSteps(record.options.mode)) return null;
  const { before, after } = results;
  const text = lossRemains(before.train.loss, after.train.loss) ?? noBetter(record, results);
  if (text === null) return null;
  const {
    options: { mode, lr, epochs },
    step,
    parameters,
  } = record;
  const usual = defaultRate(mode, { parameters });
  const isLow = lr < usual / VERY_LOW;
  // What advice comes to is no rate that it sends back from.
  const isSmaller = lr < usual / 3;
  if (!isLow && lr <= 3 * usual && (isSmaller || step < FEW_STEPS || wasFalling(record))) {
    const more = Math.ceil(Math.max(2, (2 * FEW_STEPS) / step) * epochs);
    const cause = `${step === 1 ? "One step is" : `${formatCount(step)} steps are`} probably too few${isSmaller ? ` at the low learning rate ${lr}` : ""}`;
    return { text, cause, advice: `more examples, or ${more} epochs`, set: { epochs: more } };
  }
  const better = isLow ? usual : smallerRate(lr, mode, { parameters });
  const cause = `The learning rate ${lr} is probably too ${isLow ? "low" : "high"} for this method`;
  return { text, cause, advice: `a learning rate of ${better}`, set: { lr: better } };
}

/** Whether the last evaluation is the best one. */
const wasFalling = ({ evaluations }: RunRecord) =>
  evaluations.length > 1 && evaluations.every(({ val }) => val.loss >= evaluations.at(-1)!.val.loss);

function lossRemains(before: number, after: number): string | null {
  if (after < before) return null;
  return `The training loss did not fall: ${formatLoss(before)} before training, ${formatLoss(after)} after it`;
}

function noBetter(record: RunRecord, { test: { compared } }: Results): string | null {
  const [run, always] = [compared[0], compared.at(-1)!];
  if (!always.against || hasThreshold(record)) return null;
  const measure = judgedBy(record);
  const isAhead = merit(measure, run) > merit(measure, always);
  const isBetter = always.against.standing === "better" || (isAhead && run.rows < ENOUGH_ROWS);
  return isBetter ? null : `It is not clearly better than ${nameCompared(record, always)}`;
}

/** Notes on a figure of a small test set. */
function fewRows({ objective, results }: RunRecord): string[] {
  if (!results || results.test.compared[0].rows >= FEW_ROWS) return [];
  const [{ rows, measured }] = results.test.compared;
  const measure = judgedBy({ objective });
  const figure = measured[measure.key] as Estimate | null;
  if (!figure) return [];
  const { rows: what } = WORDS[objective].drawn(results.test.details);
  return [
    `The test set has only ${rows} ${rows === 1 ? what.slice(0, -1) : what}: the ${nameMeasure(measure)} is a rough guess ` +
      `(${showEstimate(measure, figure)}).`,
  ];
}

/** Which of the run and the best baseline to take, and what to try. */
function weighAgainstBest(record: RunRecord): string | null {
  const measure = judgedBy(record);
  const others = comparedWith(record);
  const best = bestOf(measure, others);
  if (!best) return null;
  if (hasThreshold(record)) return thresholdCost(record, measure);
  const isKept = isWordCount(record, best);
  if (record.results!.test.serves === best.name)
    return `The ${METHODS.probe.title} is as good and costs less: it answers in place of what was trained, which is in tuned/.`;
  const standing = best.against?.standing;
  const isPerfect =
    readFigure(record.results!.test.compared[0].measured[measure.key]) === (measure.isError ? 0 : measure.most);
  const isDone = isPerfect || (standing === "better" && !METHODS[record.options.mode].isFitted);
  const lacking = standing === "worse" || takesSteps(record.options.mode) ? null : noBetter(record, record.results!);
  if (lacking)
    return `${lacking}: these rows do not show that the answer follows from the text. Could a person tell it from the text alone? If so, add rows, of the rarest answers first.`;
  const ideas = isDone ? [] : whatHelps(record);
  const name = nameCompared(record, best);
  const why = isKept ? "comes with this run" : "takes seconds";
  const verdict = {
    better: isKept ? `Take this model, not ${name}.` : "",
    worse: `${capital(name)} is better, and ${why}: take it.`,
    "not distinguishable": isAsGood(record, best)
      ? `${capital(name)} is as good, within ${measure.most === 1 ? "2 points" : "2 %"}, and ${why}: it is enough.`
      : `Whether it is better than ${name}, which ${why}, cannot be told from ${formatCount(best.rows)} rows${describeRange(measure, best)}.${wouldTell(measure, best)}`,
  };
  if (areMostlyCopies(record))
    return `${isBeatenBy(record, best) ? `${verdict.worse} ` : ""}${percent(shareAlike(record), 0)} of the test rows differ from a training row in a few words at most: how good it is on texts in other words cannot be told from them. A test set of such texts (${setting("test")}) would tell, or what you type yourself.`;
  const take = best === others.at(-1) || !standing ? "" : verdict[standing];
  return [take, ideas.length > 0 ? `Try ${ideas.join(", or ")}.` : ""].filter(Boolean).join(" ") || null;
}

/** ": it may be 1.2 points worse or 5.3 points better" */
function describeRange(measure: Measure, { against }: Compared): string {
  const { low, high } = against!.difference;
  const [less, more] = [-low, high].map((bound) => showDifference(measure, Math.max(0, bound), true));
  if (Number.isNaN(low)) return "";
  return measure.isError
    ? `: it may be ${more} worse or ${less} better`
    : `: it may be ${less} worse or ${more} better`;
}

/** More rows than these are not asked for. */
const MOST_ASKED = 100_000;

/**
 * How many test rows would tell: those with which the interval, whose width falls with their root, would be beyond 0,
 * or within the margin of what is as good. Nothing where these are too many.
 */
function wouldTell(measure: Measure, { against, rows }: Compared): string {
  const { value, low, high } = against!.difference;
  if (measure.most !== 1 || Number.isNaN(low)) return "";
  const distance = Math.max(Math.abs(value), MARGIN - Math.abs(value));
  const needed = Number((rows * ((high - low) / 2 / distance) ** 2).toPrecision(1));
  return needed > rows && needed <= MOST_ASKED ? ` Some ${formatCount(needed)} test rows would tell.` : "";
}

/**
 * What helped a small GPT-2 on four of five data sets (src/bench/README.md, "The defaults"), where more epochs, other
 * rates and dropout did not. Nothing was measured on larger ones, on encoders or of texts.
 */
function whatHelps({ objective, options: { mode, targets }, parameters, vocabulary }: RunRecord): string[] {
  const { isFitted, withoutModel } = METHODS[mode];
  if (isFitted || parameters >= LARGE || vocabulary !== undefined || !hasHead({ objective }) || withoutModel) return [];
  const isLora = mode === "lora";
  if (isLora && targets.includes("wte")) return ["a larger model, such as gpt2"];
  const all = setting("targets", "all,wte");
  const table = isLora
    ? `an adapter of the token table as well (${all})`
    : `LoRA with an adapter of the token table (${setting("mode", "lora")} and ${all})`;
  if (mode === "all") return [table, "a larger model, such as gpt2"];
  return [
    table,
    `${METHODS.all.title} (${setting("mode", "all")}) at its default rate of ${defaultRate("all", { parameters })}`,
  ];
}

/** Why a run ended early, and which evaluation was kept, unless it is the last. */
function describeKept(record: RunRecord): string[] {
  const { step, epoch, evaluations, keptStep, options, results } = record;
  if (!results || evaluations.length === 0 || !takesSteps(record.options.mode)) return [];
  const { patience, epochs } = options;
  const [kept, last] = [keptEvaluation(record)!, evaluations.at(-1)!].map(({ val }) => formatLoss(val.loss));
  return [
    ...(epoch < epochs
      ? [
          patience > 0 && sinceBest(evaluations) >= patience
            ? `Stopped in epoch ${epoch.toFixed(1)} of ${epochs}: ${patience} ${patience === 1 ? "evaluation" : "evaluations"} without a lower validation loss.`
            : `Finished early, in epoch ${epoch.toFixed(1)} of ${epochs}.`,
        ]
      : []),
    ...(keptStep === step
      ? []
      : [`Kept: step ${keptStep} of ${step}, with validation loss ${kept}; after the last step it is ${last}.`]),
  ];
}
