/** The report of a study in short, for the terminal. */
import type { TrainingData } from "../../data/texts.ts";
import type { Block } from "../../document/blocks.ts";
import { listOutcomes } from "../../study/outcome.ts";
import type { FinishedCell } from "../../study/store.ts";
import { judgedBy } from "../measures.ts";
import { settings } from "./report.ts";
import { aboutSeeds } from "./seeds.ts";

/** The settings, with what their seeds say. `out` is the directory of the study. */
export function summaryBlocks(_out: string, cells: readonly FinishedCell[], data: TrainingData): Block[] {
  const outcomes = listOutcomes(cells, judgedBy(data));
  return [...settings(outcomes, data).slice(1, 2), ...aboutSeeds(outcomes, judgedBy(data)).slice(1)];
}
