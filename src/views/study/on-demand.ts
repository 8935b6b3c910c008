/** The report of a study as the library gives it. */
import type { TrainingData } from "../../data/texts.ts";
import type { FinishedCell } from "../../study/store.ts";
import type { StudyReport } from "../../study/study.ts";
import { toHtml } from "../html.tsx";
import { toMarkdown } from "../markdown.ts";
import { reportBlocks, TITLE, writeReport } from "./report.ts";

/** Its blocks; Markdown and HTML are made when they are asked for. With `out` it is written into the directory. */
export async function reportOnDemand(
  cells: readonly FinishedCell[],
  data: TrainingData,
  out: string | undefined,
): Promise<StudyReport> {
  const blocks = reportBlocks(cells, data);
  if (out !== undefined) await writeReport(out, cells, data);
  return { blocks, toMarkdown: () => toMarkdown(blocks), toHtml: () => toHtml(TITLE, blocks) };
}
