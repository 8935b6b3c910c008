/** A sweep report's map of rank and alpha, and the learning rates that were tried and chosen. */

import { formatLoss } from "../../core/format.ts";
import { type Block, figure, heading, makeTable, text } from "../../document/blocks.ts";
import { hasSetting } from "../../methods/training.ts";
import type { Measure } from "../../tasks/compare.ts";
import { nameMeasure } from "../../views/measures.ts";
import { formatRate } from "../grid.ts";
import { type Outcome, testEstimate } from "../outcome.ts";

/** Ranks, or alphas, of a map that can be read. */
const ROOM = 20;

/** Rank and alpha as published, where the outcomes of LoRA are a whole grid of them. */
export function rankAlphaMap(outcomes: readonly Outcome[], measure: Measure): Block[] {
  const cells = outcomes.filter(({ mode }) => hasSetting(mode, "alpha"));
  const unique = (of: (cell: Outcome) => number) => [...new Set(cells.map(of))].sort((a, b) => a - b);
  const ranks = unique(({ rank }) => rank);
  const alphas = unique(({ alpha }) => alpha);
  const places = new Set(cells.map(({ rank, alpha }) => `${rank} ${alpha}`));
  const isFull = [cells.length, places.size].every((count) => count === ranks.length * alphas.length);
  if (!isFull || [ranks, alphas].some(({ length }) => length < 2 || length > ROOM)) return [];
  const [name, show] = [nameMeasure(measure), measure.format];
  const title = `Test ${name} over rank and alpha`;
  const means = cells.map(({ test }) => test.mean);
  return [
    heading("Rank and alpha"),
    makeTable<number>(
      "rank-alpha",
      `Test ${name}, with 95 % intervals`,
      [
        { title: "Rank", key: "rank", value: (rank) => rank },
        ...alphas.map((alpha) => ({
          ...({ title: `Alpha ${alpha}`, key: `alpha ${alpha}`, interval: true, format: show } as const),
          value: (rank: number) =>
            testEstimate(cells.find((tested) => tested.rank === rank && tested.alpha === alpha)!),
        })),
      ],
      ranks,
    ),
    figure("rank-alpha", `${title}, with 95 % intervals`, {
      kind: "heat-map",
      title,
      x: { title: "alpha", names: alphas.map(String) },
      y: { title: "rank", names: ranks.map(String) },
      range: { low: Math.min(...means), high: Math.max(...means) },
      show,
      cells: cells.map(({ rank, alpha, test, interval }) => ({
        x: alphas.indexOf(alpha),
        y: ranks.indexOf(rank),
        value: test.mean,
        interval,
      })),
    }),
  ];
}

/** The validation loss at each learning rate that was tried, by which it is chosen. */
export function rates(outcomes: readonly Outcome[]): Block[] {
  const tuned = outcomes.filter(({ tried }) => tried.length > 0);
  if (tuned.length === 0) return [];
  const all = [...new Set(tuned.flatMap(({ tried }) => tried.map(({ lr }) => lr)))].sort((a, b) => a - b);
  const lossAt = (tried: Outcome["tried"], lr: number) => {
    const rate = tried.find((candidate) => candidate.lr === lr);
    return rate && (rate.trial ? rate.trial.results.after.val.loss : "failed");
  };
  const isAtEnd = ({ tried, lr }: Outcome) => {
    const tries = tried.map((rate) => rate.lr);
    return lr === Math.min(...tries) || lr === Math.max(...tries);
  };
  const atEnd = tuned.filter(isAtEnd).length;
  const note = `${atEnd} of ${tuned.length} chosen rates are at an end of their range, beyond which a rate may be better.`;
  const title = "Learning rates: validation loss";
  return [
    heading(title),
    makeTable<Outcome>(
      "rates",
      "The first seed's validation loss at each rate",
      [
        { title: "Run", key: "run", value: ({ label }) => label },
        ...all.map((lr) => ({
          title: formatRate(lr),
          key: formatRate(lr),
          format: formatLoss,
          value: ({ tried }: Outcome) => lossAt(tried, lr),
        })),
        { title: "Chosen", key: "chosen", format: formatRate, value: ({ lr }) => lr },
      ],
      tuned,
    ),
    ...(atEnd > 0 ? [text(note)] : []),
  ];
}
