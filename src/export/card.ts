/** The README of an export, with the head by which the hub knows a model. */
import { exists, joinPath, readBytes } from "#platform";
import type { Objective } from "../config.ts";
import { parseCsv } from "../io/csv.ts";
import type { AdapterMeta } from "../io/peft.ts";
import { METHODS } from "../methods/index.ts";
import { readRecord } from "../run/directory.ts";
import { dataName } from "../run/record.ts";
import type { Exported, Source } from "./form.ts";
import { type Loss, showLoss } from "./losses.ts";
import { frontMatter, hubTask } from "./peft-code.ts";
import { LISTED, MARK } from "./replaceable.ts";

/** The column of metrics.csv with what a run is judged by, and the hub's name of it. */
const MEASURED: Record<Objective, readonly [column: string, type: string]> = {
  classification: ["acc", "accuracy"],
  regression: ["rmse", "rmse"],
  "multi-label": ["micro_f1", "f1"],
  lm: ["ppl", "perplexity"],
};

/** What a run measured on its test set, for the head of a model card; empty where it does not say. */
async function readResults(run: string, meta: AdapterMeta): Promise<object> {
  const path = joinPath(run, "metrics.csv");
  if (!(await exists(path))) return {};
  const [columns = [], values = []] = parseCsv(new TextDecoder().decode(await readBytes(path)));
  const [column, type] = MEASURED[meta.task.objective];
  const value = values[columns.indexOf(`final_test_${column}`)] ?? "";
  if (value === "") return {};
  const data = dataName(await readRecord(run));
  const metrics = [{ type, value: Number(value) }];
  const results = [{ task: { type: hubTask(meta) }, dataset: { name: data, type: data }, metrics }];
  return { metrics: [type], "model-index": [{ name: METHODS[meta.mode].title, results }] };
}

/** The README of an export of the run directory `run`. */
export async function modelCard(
  { adapter: { meta }, base }: Source,
  { files, library, title, install, language, code, remarks }: Exported,
  losses: readonly Loss[],
  run: string | undefined,
): Promise<string> {
  const differences = losses.map((loss) => `- ${showLoss(loss)}`);
  return [
    ...frontMatter(meta, base, library, run === undefined ? {} : await readResults(run, meta)),
    `# ${title}`,
    "",
    `${MARK}${meta.base_model}: ${METHODS[meta.mode].title}.`,
    "",
    `In this directory, after \`${install}\`:`,
    "",
    `\`\`\`${language}`,
    ...code,
    "```",
    "",
    ...remarks,
    ...(differences.length > 0
      ? ["", "It differs from the run, because the format cannot express:", "", ...differences]
      : []),
    "",
    `${LISTED}${[...files.keys()].map((name) => `\`${name}\``).join(", ")}.`,
    "",
  ].join("\n");
}
