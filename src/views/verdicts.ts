/** A run's results in sentences: against its baselines, what was chosen, what to try next. */

import { brief } from "../document/cells.ts";
import { formatCount, formatDuration, formatLoss, formatPerplexity, formatScore, percent } from "../format.ts";
import { describeMethod, METHODS } from "../methods/index.ts";
import { keptEvaluation, type RunRecord } from "../run/record.ts";
import { type Estimate, formatStanding, type Standing } from "../statistics.ts";
import { defaultRate, LARGE, smallerRate } from "../train/options.ts";
import type { Results } from "../train/results.ts";
import { nameMetric, runMetric } from "./metric.ts";

/** With fewer test rows, a share of them is no headline. */
const FEW_ROWS = 20;
/** With fewer test rows, a run that learned much may not be distinguishable from the most frequent class. */
const ENOUGH_ROWS = 50;

/** What a run has done, in two sentences. */
export function describeRun(record: RunRecord): string {
  const { options, objective, examples, seconds } = record;
  const what = objective === "lm" ? "blocks" : "examples";
  const reached = headline(record) ?? describeStopped(record);
  return `${describeMethod(options)}: ${formatCount(examples)} ${what} in ${formatDuration(seconds)}, including evaluation. ${reached}.`;
}

/** "94.5 % of 300 test messages correct", or the perplexity; null: the run was not measured on the test set. */
export function headline({ results, objective, unequal }: RunRecord): string | null {
  if (!results) return null;
  const { scores, multiLabel } = results;
  const { test: before } = results.before;
  const { test: after } = results.after;
  if (objective === "lm") {
    const [first, last] = [before, after].map(({ perplexity }) => formatPerplexity(perplexity!));
    return `The perplexity on the test set was ${first} before and is ${last} now`;
  }
  const { rows, accuracy = 0, macroF1 } = after;
  if (scores) {
    const [{ rmse, spearman }] = scores.compared;
    const rank = spearman ? `, rank correlation ${spearman.value.toFixed(2)}` : "";
    const few = rows < FEW_ROWS ? ": too few to tell" : "";
    return `RMSE ${formatScore(rmse.value)} on ${formatCount(rows)} test ${messages(rows)}${rank}${few}`;
  }
  if (multiLabel) {
    const [{ microF1, exact }] = multiLabel.compared;
    const few = rows < FEW_ROWS ? ": too few to tell" : "";
    return `Micro F1 ${percent(microF1.value)}, and exactly its labels for ${percent(exact.value)} of ${formatCount(rows)} test ${messages(rows)}${few}`;
  }
  if (rows < FEW_ROWS)
    return `${Math.round(accuracy * rows)} of ${rows} test ${messages(rows)} correct: too few to tell`;
  return `${percent(accuracy)} of ${formatCount(rows)} test messages correct${unequal ? `, macro F1 ${percent(macroF1!)}` : ""}`;
}

const messages = (rows: number) => (rows === 1 ? "message" : "messages");

/** The last evaluation of a run that was stopped. */
function describeStopped(record: RunRecord): string {
  const { step, evaluations, unequal } = record;
  if (evaluations.length === 0) return `Stopped after step ${step}`;
  const { step: last, val } = evaluations.at(-1)!;
  const { loss, macroF1 } = val;
  const metric = runMetric(record);
  const reached = `${nameMetric(metric)} ${metric.show(metric.of(val))}${unequal ? `, macro F1 ${percent(macroF1!)}` : ""}`;
  return `Stopped after step ${step}; last evaluation after step ${last}: validation loss ${formatLoss(loss)}, ${reached}`;
}

/** What to know about a result, and with `advises` what to try if it is poor. */
export function describeNotes(record: RunRecord, advises = true): string[] {
  const nothing = nothingLearned(record);
  return [
    ...fewRows(record),
    ...(nothing
      ? [`${nothing.text}.${advises ? ` ${nothing.cause}. Try ${nothing.advice}.` : ""}`]
      : compareWithBaseline(record, advises)),
    ...describeLimits(record),
    ...describeDecision(record),
    ...describeKept(record),
  ];
}

/** What baselines have left out. */
const describeLimits = ({ results }: RunRecord): string[] =>
  (results ? listRivals(results) : []).flatMap(({ name, limits }) =>
    limits ? [`"${brief(name)}" was fitted in part: ${limits}.`] : [],
  );

/** What the validation set has chosen, or why it has not. */
function describeDecision({ results, labels, options: { threshold: rule } }: RunRecord): string[] {
  if (results?.multiLabel && rule !== "none")
    return [`Thresholds: each label is predicted from a probability of its own (${rule} on the validation set).`];
  if (!results?.decision) return [];
  const { temperature, threshold, positive = 0, precision, recall, reached } = results.decision;
  const name = `"${brief(labels[positive]!)}"`;
  return [
    ...(temperature === undefined
      ? []
      : [
          `Calibrated: logits are divided by ${temperature.toPrecision(3)}, the temperature with the lowest validation loss.`,
        ]),
    ...(threshold === undefined
      ? []
      : [
          `Threshold: ${name} is predicted from a probability of ${percent(threshold)} (${rule} on the validation set: ` +
            `precision ${percent(precision!)}, recall ${percent(recall!)}), which can lower the accuracy.`,
        ]),
    ...(reached === undefined
      ? []
      : [
          `No threshold was chosen by ${rule}: ${
            reached === null
              ? `the validation set has no row of ${name}`
              : `the highest precision of ${name} on the validation set is ${percent(reached)}`
          }. The more probable class is predicted.`,
        ]),
  ];
}

/**
 * Whether labels are predicted by thresholds, which are chosen for other figures than the one that runs are judged by.
 */
const hasThreshold = ({ options }: RunRecord) => options.threshold !== "none";

/** That a run has learned nothing, the probable cause, and the settings to try. */
interface NothingLearned {
  text: string;
  cause: string;
  advice: string;
  set: { lr: number } | { epochs: number };
}

/** Fewer steps than these can be too few to learn from at a usual rate. */
const FEW_STEPS = 50;

/** What a finished run is told that has learned nothing; null if it has learned something. */
export function nothingLearned(record: RunRecord): NothingLearned | null {
  const { results } = record;
  if (!results) return null;
  const { before, after } = results;
  const text = lossRemains(before.train.loss, after.train.loss) ?? noBetter(record, results);
  if (text === null) return null;
  const {
    options: { mode, lr, epochs },
    step,
    parameters,
  } = record;
  const usual = defaultRate(mode, { parameters });
  const isLow = lr < usual / 3;
  if (!isLow && lr <= 3 * usual && step < FEW_STEPS) {
    const more = Math.ceil((2 * FEW_STEPS * epochs) / step);
    const cause = `${step === 1 ? "One step is" : `${step} steps are`} probably too few`;
    return { text, cause, advice: `more examples, or ${more} epochs`, set: { epochs: more } };
  }
  const better = isLow ? usual : smallerRate(lr, mode, { parameters });
  const cause = `The learning rate ${lr} is probably too ${isLow ? "low" : "high"} for this method`;
  return { text, cause, advice: `a learning rate of ${better}`, set: { lr: better } };
}

function lossRemains(before: number, after: number): string | null {
  if (after < before) return null;
  return `The training loss did not fall: ${formatLoss(before)} before training, ${formatLoss(after)} after it`;
}

/** The run, or a baseline, by what it is judged by. */
interface Rival {
  name: string;
  /** What a baseline's fit left out. */
  limits?: string;
  rows: number;
  /** The higher, the better. */
  merit: number;
  isPerfect: boolean;
  /** "91.9 %", "RMSE 1.23" */
  shown: string;
  /** Null for the run itself. */
  against: { standing: Standing; p: number; difference: Estimate } | null;
  showDifference: (value: number) => string;
}

/** The run first. */
function listRivals({ test, scores, multiLabel }: Results): Rival[] {
  const points = { showDifference: (share: number) => (100 * share).toFixed(1) };
  return [
    ...(test?.compared ?? []).map((one): Rival => {
      const { correct, rows, accuracy } = one;
      return { ...one, ...points, merit: correct, isPerfect: correct === rows, shown: percent(accuracy) };
    }),
    ...(scores?.compared ?? []).map((one): Rival => {
      const { value } = one.rmse;
      const shown = `RMSE ${formatScore(value)}`;
      return { ...one, merit: -value, isPerfect: value === 0, shown, showDifference: formatScore };
    }),
    ...(multiLabel?.compared ?? []).map((one): Rival => {
      const { value } = one.microF1;
      return { ...one, ...points, merit: value, isPerfect: value === 1, shown: `micro F1 ${percent(value)}` };
    }),
  ];
}

/** What the last baseline always gives. */
const ALWAYS = { classification: "the most frequent class, ", regression: "", "multi-label": "", lm: "" };

function noBetter(record: RunRecord, results: Results): string | null {
  const rivals = listRivals(results);
  const [own, always] = [rivals[0], rivals.at(-1)];
  if (!own || !always?.against || hasThreshold(record)) return null;
  const isBetter = always.against.standing === "better" || (own.merit > always.merit && own.rows < ENOUGH_ROWS);
  return isBetter ? null : against(own, always, `${ALWAYS[record.objective]}"${brief(always.name)}"`);
}

function against(own: Rival, { against, shown, showDifference }: Rival, name: string): string {
  const { standing, p, difference } = against!;
  const bounds = [difference.low, difference.high].map(showDifference).join(" to ");
  const unit = showDifference === formatScore ? "" : "points ";
  return (
    `This run against ${name}: ${formatStanding(standing, p)}, ${own.shown} against ${shown}, ` +
    `a difference of ${showDifference(difference.value)} ${unit}(${bounds})`
  );
}

/** What to know about the accuracy on a small test set. */
function fewRows({ results }: RunRecord): string[] {
  const [own] = results?.test?.compared ?? [];
  if (!own || own.rows >= FEW_ROWS) return [];
  const { rows, accuracy, interval } = own;
  return [
    `The test set has only ${rows} ${rows === 1 ? "row" : "rows"}: the accuracy of ${percent(accuracy)} is a rough guess, ` +
      `with a 95 % interval of ${percent(interval.low)} to ${percent(interval.high)}.`,
  ];
}

/** The run compared with the best baseline, and with `advises` what to try unless it is better or makes no error. */
function compareWithBaseline(record: RunRecord, advises: boolean): string[] {
  const { results } = record;
  const [own, ...others] = results ? listRivals(results) : [];
  const best = others.reduce<Rival | null>((most, one) => (most && most.merit >= one.merit ? most : one), null);
  if (!own || best === null) return [];
  const text = `${against(own, best, `"${brief(best.name)}"`)}.`;
  if (!advises || best.against!.standing === "better" || own.isPerfect || hasThreshold(record)) return [text];
  const ideas = whatHelps(record);
  const enough = best === others.at(-1) ? "" : " As far as these rows tell, the baseline is enough, and takes seconds.";
  return [`${text}${enough}${ideas.length > 0 ? ` Try ${ideas.join(", or ")}.` : ""}`];
}

/**
 * What helped a small GPT-2 on four of five data sets (src/bench/README.md, "The defaults"), where more epochs, other
 * rates and dropout did not. Nothing was measured on larger ones, and nothing helped smollm2-cut.
 */
function whatHelps({ options: { mode, targets }, parameters, vocabulary }: RunRecord): string[] {
  if (parameters >= LARGE || vocabulary !== undefined) return [];
  const isLora = mode === "lora";
  if (isLora && targets.includes("wte")) return ["a larger model, such as gpt2"];
  const table = `${isLora ? "" : "LoRA with "}an adapter of the token table${isLora ? " as well" : ""} (targets all,wte)`;
  if (mode === "all") return [table, "a larger model, such as gpt2"];
  return [table, `${METHODS.all.title} (mode all) at its default rate of ${defaultRate("all", { parameters })}`];
}

/** Why a run ended early, and which evaluation was kept, unless it is the last. */
function describeKept(record: RunRecord): string[] {
  const { step, epoch, evaluations, keptStep, options, results } = record;
  if (!results) return [];
  const { patience, epochs } = options;
  const [kept, last] = [keptEvaluation(record), evaluations.at(-1)!].map(({ val }) => formatLoss(val.loss));
  return [
    ...(epoch < epochs
      ? [
          `Stopped in epoch ${epoch.toFixed(1)} of ${epochs}: ${patience} ${patience === 1 ? "evaluation" : "evaluations"} without a lower validation loss.`,
        ]
      : []),
    ...(keptStep === step
      ? []
      : [`Kept: step ${keptStep} of ${step}, with validation loss ${kept}; after the last step it is ${last}.`]),
  ];
}
