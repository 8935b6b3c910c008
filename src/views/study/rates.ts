/** A sweep report's parts on learning rates: those tried and chosen, and rank and alpha without and with the choice. */

import { type Block, figure, heading, makeTable, text } from "../../document/blocks.ts";
import { formatLoss } from "../../format.ts";
import { METHODS } from "../../methods/index.ts";
import { GUIDES, hasSetting } from "../../methods/training.ts";
import { type Interval, summarize } from "../../statistics.ts";
import { formatRate } from "../../study/grid.ts";
import { type Outcome, testEstimate } from "../../study/outcome.ts";
import type { Measure } from "../../tasks/compare.ts";
import { nameMeasure } from "../measures.ts";

/** Rank and alpha at the shared learning rate and at each cell's own, where the sweep has whole grids of them. */
export function grids(outcomes: readonly Outcome[], measure: Measure): Block[] {
  const lora = outcomes.filter(({ mode }) => hasSetting(mode, "alpha"));
  const shared = findGrid(lora.filter(({ tried }) => tried.length === 0));
  const own = findGrid(lora.filter(({ tried }) => tried.length > 0));
  const values = [shared, own].flatMap((grid) => grid?.cells ?? []).map(({ test }) => test.mean);
  const range = { low: Math.min(...values), high: Math.max(...values) };
  const both = shared !== null && own !== null;
  return [
    ...(shared ? gridBlocks(shared, both ? ", at one learning rate" : "", "rank-alpha", measure, range) : []),
    ...(own ? gridBlocks(own, ", each at its own learning rate", "rank-alpha-own-rate", measure, range) : []),
    ...(both ? [text(spread(shared.cells, own.cells, measure))] : []),
  ];
}

/** Ranks, or alphas, of a map that can be read. */
const ROOM = 20;

interface Grid {
  ranks: number[];
  alphas: number[];
  cells: readonly Outcome[];
}

/** A full grid with several ranks and alphas; null if the cells are none. */
function findGrid(cells: readonly Outcome[]): Grid | null {
  const unique = (of: (cell: Outcome) => number) => [...new Set(cells.map(of))].sort((a, b) => a - b);
  const ranks = unique(({ rank }) => rank);
  const alphas = unique(({ alpha }) => alpha);
  const places = new Set(cells.map(({ rank, alpha }) => `${rank} ${alpha}`));
  const isFull = [cells.length, places.size].every((count) => count === ranks.length * alphas.length);
  return isFull && ranks.length > 1 && alphas.length > 1 ? { ranks, alphas, cells } : null;
}

function gridBlocks(
  { ranks, alphas, cells }: Grid,
  at: string,
  file: string,
  measure: Measure,
  range: Interval,
): Block[] {
  const [name, show] = [nameMeasure(measure), measure.format];
  const title = `Test ${name} over rank and alpha${at}`;
  const head = heading(`Rank and alpha${at}`);
  const many = `${ranks.length} ranks and ${alphas.length} alphas are too many for a map: the table of settings has all.`;
  if (Math.max(ranks.length, alphas.length) > ROOM) return [head, text(many)];
  return [
    head,
    makeTable<number>(
      file,
      `Test ${name}, with 95 % intervals`,
      [
        { title: "Rank", key: "rank", value: (rank) => rank },
        ...alphas.map((alpha) => ({
          ...({ title: `Alpha ${alpha}`, key: `alpha ${alpha}`, interval: true, format: show } as const),
          value: (rank: number) => testEstimate(cells.find((one) => one.rank === rank && one.alpha === alpha)!),
        })),
      ],
      ranks,
    ),
    figure(file, `${title}, with 95 % intervals`, {
      kind: "heat-map",
      title,
      x: { title: "alpha", names: alphas.map(String) },
      y: { title: "rank", names: ranks.map(String) },
      range,
      show,
      cells: cells.map(({ rank, alpha, test, interval }) => ({
        ...{ x: alphas.indexOf(alpha), y: ranks.indexOf(rank), value: test.mean, interval },
      })),
    }),
  ];
}

function spread(shared: readonly Outcome[], own: readonly Outcome[], measure: Measure): string {
  const show = measure.format;
  const describe = (cells: readonly Outcome[]) => {
    const means = cells.map(({ test }) => test.mean);
    const { sd } = summarize(means);
    return `from ${show(Math.min(...means))} to ${show(Math.max(...means))}, with a standard deviation of ${show(sd)}`;
  };
  return (
    `Over the ${shared.length} cells the test ${nameMeasure(measure)} at one learning rate is ${describe(shared)}; with each cell at its own ` +
    `it is ${describe(own)}.`
  );
}

/** The validation loss at each learning rate that was tried, by which it is chosen. */
export function rates(outcomes: readonly Outcome[]): Block[] {
  const tuned = outcomes.filter(({ tried }) => tried.length > 0);
  if (tuned.length === 0) return [];
  const all = [...new Set(tuned.flatMap(({ tried }) => tried.map(({ lr }) => lr)))].sort((a, b) => a - b);
  const lossAt = (tried: Outcome["tried"], lr: number) => {
    const one = tried.find((candidate) => candidate.lr === lr);
    return one && (one.trial ? one.trial.results.after.val.loss : "failed");
  };
  const isAtEnd = ({ tried, lr }: Outcome) => {
    const tries = tried.map((one) => one.lr);
    return lr === Math.min(...tries) || lr === Math.max(...tries);
  };
  const atEnd = tuned.filter(isAtEnd).length;
  const papers = [...new Set(tuned.map(({ mode }) => mode))].filter((mode) => GUIDES[mode].rates.papers !== undefined);
  const notes = [
    ...(atEnd > 0
      ? [`${atEnd} of ${tuned.length} chosen rates are at an end of their range, beyond which a rate may be better.`]
      : []),
    ...(papers.length > 0
      ? [`Rates in papers: ${papers.map((mode) => `${METHODS[mode].title} ${GUIDES[mode].rates.papers}`).join("; ")}.`]
      : []),
  ];
  const title = "Learning rates: validation loss";
  return [
    heading(title),
    makeTable<Outcome>(
      "rates",
      "The first seed's validation loss at each rate",
      [
        { title: "Run", key: "run", value: ({ label }) => label },
        ...all.map((lr) => ({
          ...{ title: formatRate(lr), key: formatRate(lr), format: formatLoss },
          value: ({ tried }: Outcome) => lossAt(tried, lr),
        })),
        { title: "Chosen", key: "chosen", format: formatRate, value: ({ lr }) => lr },
        { title: "At an end", key: "at an end", value: (outcome) => (isAtEnd(outcome) ? "yes" : "no") },
      ],
      tuned,
    ),
    ...notes.map(text),
  ];
}
