/** A sweep report's part on seeds: how much they alone change, compared with the differences between settings. */

import { type Block, heading, text } from "../../document/blocks.ts";
import { poolSpread, studentT95 } from "../../statistics.ts";
import { mean, type Outcome } from "../../study/outcome.ts";
import type { Measure } from "../../tasks/compare.ts";
import { nameMeasure } from "../measures.ts";
import { asFlag } from "../terminal/flag-words.ts";

export function aboutSeeds(outcomes: readonly Outcome[], measure: Measure): Block[] {
  if (outcomes.length === 0) return [];
  const repeated = outcomes.filter(({ test }) => test.n > 1);
  const words =
    repeated.length > 0
      ? describeSpread(repeated, measure)
      : "Every setting was trained with one seed: how much of the differences between settings another seed would make is not known. " +
        `With ${asFlag("seeds", "3")} the report says it.`;
  return [heading("Seeds"), text(words)];
}

/** The spread within settings, and the difference up to which two settings can be equal (Fisher's). */
function describeSpread(outcomes: readonly Outcome[], measure: Measure): string {
  const [name, show] = [nameMeasure(measure), measure.format];
  const { sd, freedom } = poolSpread(outcomes.map(({ test }) => test));
  const alone =
    `Another seed moves the test ${name} of a setting by ${show(sd)}: the standard deviation within ` +
    (outcomes.length > 1
      ? `settings, pooled over ${outcomes.length} (${freedom} degrees of freedom).`
      : "the setting.");
  if (outcomes.length === 1) return alone;
  const means = outcomes.map(({ test }) => test.mean);
  const limit = studentT95(freedom) * sd * Math.sqrt(2 * mean(outcomes.map(({ test }) => 1 / test.n)));
  return (
    `${alone} The means of the settings are from ${show(Math.min(...means))} to ${show(Math.max(...means))}. Of two settings that are ` +
    `equal, seeds alone make the means differ by up to ${show(limit)} in 95 of 100 cases; other test rows come on top.`
  );
}
