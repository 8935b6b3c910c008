/** What a classifier's results beside the baselines' come to, in sentences. */

import { keptEvaluation, type RunRecord } from "../run/record.ts";
import { SIGNIFICANT, showStanding } from "../statistics.ts";
import { defaultRate, smallerRate } from "../train/options.ts";
import type { Compared } from "../train/results.ts";

/** With fewer test rows, a run that learned much may not be distinguishable from the most frequent class. */
const ENOUGH_ROWS = 50;

/** Why a finished run has learned nothing, and the learning rate to try; null if it has learned something. */
export function nothingLearned(
  { options: { mode, lr }, results }: RunRecord,
  show: (name: string) => string,
): { text: string; lr: number } | null {
  if (!results) return null;
  const { before, after, test } = results;
  const text = lossRemains(before.train.loss, after.train.loss) ?? noBetter(test?.compared ?? [], show);
  if (text === null) return null;
  const usual = defaultRate(mode);
  return { text, lr: lr < usual / 3 ? usual : smallerRate(lr, mode) };
}

function lossRemains(before: number, after: number): string | null {
  if (after < before) return null;
  return `The training loss did not fall: ${before.toFixed(4)} before training, ${after.toFixed(4)} after it`;
}

function noBetter(compared: readonly Compared[], show: (name: string) => string): string | null {
  const [own, always] = [compared[0], compared.at(-1)];
  if (!own || !always || always.p === null) return null;
  const isBetter = own.correct > always.correct && (always.p < SIGNIFICANT || own.rows < ENOUGH_ROWS);
  return isBetter ? null : against(own, always, `the most frequent class, "${show(always.name)}"`);
}

const percent = (share: number) => `${(100 * share).toFixed(1)} %`;

/** What McNemar's test says of the run beside a baseline: "better (p = 0.012)". */
export function showOwnStanding(own: Compared, { correct, p }: Compared): string {
  return showStanding(own.correct > correct, p!);
}

function against(own: Compared, other: Compared, name: string): string {
  return `This run against ${name}: ${showOwnStanding(own, other)}, ${percent(own.accuracy)} against ${percent(other.accuracy)}`;
}

/** With fewer test rows, the accuracy is said to be a rough guess. */
const FEW_ROWS = 20;

/** What to know about the accuracy on a small test set; null if it is not small. */
export function fewRows({ results }: RunRecord): string | null {
  const [own] = results?.test?.compared ?? [];
  if (!own || own.rows >= FEW_ROWS) return null;
  const { rows, accuracy, interval } = own;
  const bounds = [interval.low, interval.high].map((share) => (100 * share).toFixed(1));
  return (
    `The test set has only ${rows} ${rows === 1 ? "row" : "rows"}: the accuracy of ${percent(accuracy)} is a rough guess, ` +
    `with a 95 % interval of ${bounds.join(" to ")} %`
  );
}

/**
 * The best baseline that has as many right as the run; null if there is none, or if the run makes no error. `show`
 * makes a name printable.
 */
export function bestBaseline({ results }: RunRecord, show: (name: string) => string): string | null {
  const [own, ...others] = results?.test?.compared ?? [];
  const best = others.reduce<Compared | null>((most, one) => (most && most.correct >= one.correct ? most : one), null);
  if (!own || best === null || best.correct < own.correct || own.correct === own.rows) return null;
  return against(own, best, `"${show(best.name)}"`);
}

/** Why a run ended early, and which evaluation was kept, unless it is the last. */
export function describeKept(record: RunRecord): string[] {
  const { step, epoch, evaluations, keptStep, options } = record;
  const { patience, epochs } = options;
  const loss = ({ val }: { val: { loss: number } }) => val.loss.toFixed(4);
  return [
    ...(epoch < epochs
      ? [
          `stopped in epoch ${epoch.toFixed(1)} of ${epochs}: ${patience} ${patience === 1 ? "evaluation" : "evaluations"} without a lower validation loss`,
        ]
      : []),
    ...(keptStep === step
      ? []
      : [
          `kept: step ${keptStep} of ${step}, with validation loss ${loss(keptEvaluation(record))}; after the last step it is ${loss(evaluations.at(-1)!)}`,
        ]),
  ];
}
