/** A study's words on seeds: how much they alone change, compared with the differences between settings. */

import { formatCount } from "../../core/format.ts";
import { meanInterval, poolSpread, studentT95, Z95 } from "../../core/statistics.ts";
import { type Block, heading, text } from "../../document/blocks.ts";
import { countRows, type Measure } from "../../tasks/compare.ts";
import { WORDS } from "../../tasks/words.ts";
import { nameMeasure, showDifference } from "../../views/measures.ts";
import { asFlag } from "../../views/terminal/flag-words.ts";
import { type MeasuredRun, mean, type Outcome } from "../outcome.ts";

export function aboutSeeds(outcomes: readonly Outcome[], measure: Measure): Block[] {
  return outcomes.length === 0 ? [] : [heading("Seeds"), text(describeSeeds(outcomes, measure))];
}

/** How far seeds move the figures of settings, of which there is one or more. */
export function describeSeeds(outcomes: readonly Outcome[], measure: Measure): string {
  const repeated = outcomes.filter(({ test }) => test.n > 1);
  if (repeated.length > 1) return describeSpread(repeated, measure);
  const [one] = repeated;
  if (one) return `${outcomes.length > 1 ? `${one.label}: ` : ""}${describeRepeated(one, measure)}`;
  return (
    "Every setting was trained with one seed: how much of the differences between settings another seed would make is not known. " +
    `With ${asFlag("seeds", "3")} the report says it.`
  );
}

/** The mean of a setting's seeds, and their spread compared with that which other test rows would cause. */
export function describeRepeated({ test, interval, trials }: Outcome<MeasuredRun>, measure: Measure): string {
  const { objective, results } = trials[0]!;
  const { rows, details } = results.test;
  const what = `${formatCount(countRows(rows))} other test ${WORDS[objective].drawn(details).rows}`;
  const name = nameMeasure(measure);
  const show = (sd: number) => (Number.isNaN(sd) ? "an unknown amount" : showDifference(measure, sd, true));
  const { low, high } = meanInterval(test);
  const [from, to] = [Math.max(0, low), Math.min(measure.most ?? Infinity, high)].map(measure.format);
  const average =
    test.sd === 0
      ? `The test ${name} of each of the ${test.n} seeds is ${measure.format(test.mean)}.`
      : `The test ${name} of ${test.n} seeds is ${measure.format(test.mean)} on average, 95 % interval ${from} to ${to} (Student's t).`;
  return (
    `${average} Another seed moves it by ${show(test.sd)} (standard deviation), ${what} by about ` +
    `${show((interval.high - interval.low) / (2 * Z95))}; the intervals of the runs are for the rows alone.`
  );
}

/** The spread within settings, and the difference up to which two settings can be equal (Fisher's). */
function describeSpread(outcomes: readonly Outcome[], measure: Measure): string {
  const [name, show] = [nameMeasure(measure), measure.format];
  const { sd, freedom } = poolSpread(outcomes.map(({ test }) => test));
  const means = outcomes.map(({ test }) => test.mean);
  const limit = studentT95(freedom) * sd * Math.sqrt(2 * mean(outcomes.map(({ test }) => 1 / test.n)));
  return (
    `Another seed moves the test ${name} of a setting by ${show(sd)}: the standard deviation within settings, pooled over ` +
    `${outcomes.length} (${freedom} degrees of freedom). The means of the settings are from ${show(Math.min(...means))} to ` +
    `${show(Math.max(...means))}. Of two settings that are equal, seeds alone make the means differ by up to ${show(limit)} ` +
    "in 95 of 100 cases; other test rows come on top."
  );
}
