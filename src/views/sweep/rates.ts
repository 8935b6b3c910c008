/** A sweep report's parts on learning rates: those tried and chosen, and rank and alpha without and with the choice. */
import { MODE_TITLES } from "../../config.ts";
import type { TrainingData } from "../../data/texts.ts";
import { summarize } from "../../statistics.ts";
import { showRate } from "../../sweep/grid.ts";
import type { Measure } from "../../sweep/measure.ts";
import type { Outcome } from "../../sweep/outcome.ts";
import { RATES } from "../../sweep/presets.ts";
import { publishedAccuracy } from "../../sweep/published.ts";
import { chartSvg } from "../charts/svg.tsx";
import { heatMap } from "../charts/sweep-charts.ts";
import type { Block } from "../document.ts";

/** Rank and alpha at the shared learning rate and at each cell's own, where the sweep has whole grids of them. */
export function grids(outcomes: readonly Outcome[], data: TrainingData, measure: Measure): Block[] {
  const lora = outcomes.filter(({ mode }) => mode === "lora");
  const shared = findGrid(lora.filter(({ tried }) => tried.length === 0));
  const own = findGrid(lora.filter(({ tried }) => tried.length > 0));
  const values = [shared, own].flatMap((grid) => grid?.cells ?? []).map(({ test }) => test.mean);
  const range = { low: Math.min(...values), high: Math.max(...values) };
  const both = shared !== null && own !== null;
  return [
    ...(shared ? gridBlocks(shared, both ? ", at one learning rate" : "", "rank-alpha", data, measure, range) : []),
    ...(own ? gridBlocks(own, ", each at its own learning rate", "rank-alpha-own-rate", data, measure, range) : []),
    ...(both ? [{ kind: "text" as const, text: spread(shared.cells, own.cells, measure) }] : []),
  ];
}

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
  const isFull = ranks.length > 1 && alphas.length > 1 && cells.length === ranks.length * alphas.length;
  return isFull ? { ranks, alphas, cells } : null;
}

function gridBlocks(
  { ranks, alphas, cells }: Grid,
  at: string,
  name: string,
  data: TrainingData,
  measure: Measure,
  scale: { low: number; high: number },
): Block[] {
  const { show } = measure;
  const text = (rank: number, alpha: number) => {
    const cell = cells.find((one) => one.rank === rank && one.alpha === alpha);
    if (!cell) return "-";
    const { test, interval, lr, tried } = cell;
    const other = publishedAccuracy(cell, data);
    return (
      `${show(test.mean)}${test.n > 1 ? ` ± ${show(test.sd)}` : ""} (${show(interval.low)} to ${show(interval.high)})` +
      `${tried.length > 0 ? `, rate ${showRate(lr)}` : ""}${other === undefined ? "" : `; published ${show(other)}`}`
    );
  };
  const title = `Test ${measure.title} over rank and alpha${at}`;
  return [
    { kind: "heading", level: 2, text: title },
    {
      kind: "table",
      name,
      header: ["rank", ...alphas.map((alpha) => `alpha ${alpha}`)],
      rows: ranks.map((rank) => [rank, ...alphas.map((alpha) => text(rank, alpha))]),
    },
    {
      kind: "figure",
      name,
      caption: `${title}, with 95 % intervals`,
      svg: chartSvg(
        heatMap(
          title,
          cells.map(({ rank, alpha, test, interval }) => ({ rank, alpha, value: test.mean, interval })),
          { ...scale, show },
        ),
      ),
    },
  ];
}

function spread(shared: readonly Outcome[], own: readonly Outcome[], { show, title }: Measure): string {
  const describe = (cells: readonly Outcome[]) => {
    const means = cells.map(({ test }) => test.mean);
    const { sd } = summarize(means);
    return `from ${show(Math.min(...means))} to ${show(Math.max(...means))}, with a standard deviation of ${show(sd)}`;
  };
  return (
    `Over the ${shared.length} cells the test ${title} at one learning rate is ${describe(shared)}; with each cell at its own ` +
    `it is ${describe(own)}.`
  );
}

/** The validation loss at each learning rate that was tried, by which it is chosen. */
export function rates(outcomes: readonly Outcome[]): Block[] {
  const tuned = outcomes.filter(({ tried }) => tried.length > 0);
  if (tuned.length === 0) return [];
  const all = [...new Set(tuned.flatMap(({ tried }) => tried.map(({ lr }) => lr)))].sort((a, b) => a - b);
  const shown = ({ tried }: Outcome, lr: number) => {
    const one = tried.find((candidate) => candidate.lr === lr);
    if (!one) return "-";
    return one.trial ? one.trial.results.after.val.loss.toFixed(4) : "failed";
  };
  const isAtEnd = ({ tried, lr }: Outcome) => {
    const tries = tried.map((one) => one.lr);
    return lr === Math.min(...tries) || lr === Math.max(...tries);
  };
  const atEnd = tuned.filter(isAtEnd).length;
  const papers = [...new Set(tuned.map(({ mode }) => mode))].filter((mode) => RATES[mode].papers !== undefined);
  const notes = [
    ...(atEnd > 0
      ? [`${atEnd} of ${tuned.length} chosen rates are at an end of their range, beyond which a rate may be better.`]
      : []),
    ...(papers.length > 0
      ? [`Rates in papers: ${papers.map((mode) => `${MODE_TITLES[mode]} ${RATES[mode].papers}`).join("; ")}.`]
      : []),
  ];
  return [
    { kind: "heading", level: 2, text: "Learning rates: validation loss" },
    {
      kind: "table",
      name: "rates",
      header: ["run", ...all.map(showRate), "chosen", "at an end"],
      rows: tuned.map((outcome) => [
        outcome.label,
        ...all.map((lr) => shown(outcome, lr)),
        showRate(outcome.lr),
        isAtEnd(outcome) ? "yes" : "no",
      ]),
    },
    ...notes.map((text): Block => ({ kind: "text", text })),
  ];
}
