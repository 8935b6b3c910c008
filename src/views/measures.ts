/** A run's measures, as they are shown. */

import { formatLoss } from "../core/format.ts";
import type { Estimate } from "../core/statistics.ts";
import { NO_INTERVAL } from "../document/cells.ts";
import type { RunRecord } from "../record/record.ts";
import { type Measure, readEvaluated } from "../tasks/compare.ts";
import type { Objective } from "../tasks/index.ts";
import { TRAINING } from "../tasks/training.ts";

/** A figure of an evaluation, or of a step. */
export type Figure = Pick<Measure, "key" | "title" | "format" | "evaluated" | "most">;

export const LOSS: Figure = { key: "loss", title: "Loss", format: formatLoss, evaluated: "loss" };

type Measured = Pick<RunRecord, "objective" | "unequal">;

export const judgedBy = ({ objective }: Pick<Measured, "objective">): Measure => TRAINING[objective].measures[0];

/** Whether people see a measure next to the first. */
export const isShown = ({ shown }: Measure, { unequal }: Pick<Measured, "unequal">) =>
  shown === undefined || (shown === "unequal" && unequal);

/** The measure that a run is judged by, and the one that people see next to it. */
export function shownMeasures(run: Measured): Measure[] {
  const [main, other] = TRAINING[run.objective].measures;
  return isShown(other, run) ? [main, other] : [main];
}

/** An evaluation, or a step. */
export type Evaluated = Parameters<typeof readEvaluated>[1];

/** A measure of an evaluation; null: it has none. A loss that is not finite is null in a stored record. */
export function readMeasure(figure: Figure, { loss, ...rest }: Evaluated): number | null {
  const value = readEvaluated(figure, { loss: loss ?? Number.NaN, ...rest });
  return Number.isFinite(value) ? value : null;
}

/** "93.1 %"; null: it has none. */
export function showMeasure(figure: Figure, evaluation: Evaluated): string | null {
  const value = readMeasure(figure, evaluation);
  return value === null ? null : figure.format(value);
}

/** The figures of a step or an evaluation, by the first measure that it has: "accuracy 93.1 %". */
export function describeMeasured(objective: Objective, evaluation: Evaluated): string | null {
  const measure = TRAINING[objective].measures.find((candidate) => readMeasure(candidate, evaluation) !== null);
  return measure ? `${nameMeasure(measure)} ${showMeasure(measure, evaluation)}` : null;
}

/** Its name within a sentence: "accuracy", "RMSE". */
export const nameMeasure = ({ title }: Pick<Figure, "title">) =>
  /^[A-Z]{2}/.test(title) ? title : title.charAt(0).toLowerCase() + title.slice(1);

/** "93.1 %, 95 % interval 90.0 % to 95.2 %", or why it has none. */
export const showEstimate = ({ format }: Figure, { value, low, high }: Estimate): string =>
  `${format(value)}, ${Number.isNaN(low) ? `no interval, ${NO_INTERVAL}` : `95 % interval ${format(low)} to ${format(high)}`}`;

/** A difference of two values of it; shares differ by points, which are named with the `unit`. */
export function showDifference({ most, format }: Figure, value: number, hasUnit = false): string {
  if (most !== 1) return format(value);
  return `${(100 * value).toFixed(1)}${hasUnit ? " points" : ""}`;
}
