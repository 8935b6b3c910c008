/** What can be downloaded of a run: its files with a README, code that uses it, and a standalone HTML file. */
import { exists, joinPath } from "#platform";
import { ConfigError } from "../../errors.ts";
import { planStandalone, type StandalonePage } from "../../export/standalone.ts";
import { describeTrained, listUsages, pageQuestion, type Trained, writeReadme } from "../../export/usage.ts";
import type { BaseModel } from "../../io/hf.ts";
import { loadAdapter } from "../../io/open-adapter.ts";
import { PEFT_CONFIG } from "../../io/peft.ts";
import { METHODS } from "../../methods/index.ts";
import { dataName, exampleText, type RunRecord } from "../../run/record.ts";
import { wilson } from "../../statistics.ts";
import { headline } from "../../views/verdicts.ts";
import { hasAdapter, type PageRun, type Takeable, type TakeReport, type WantedForm } from "../protocol.ts";
import { bytesIn, zipDirectory } from "./archive.ts";
import { reportError } from "./errors.ts";
import { pageBase } from "./page-base.ts";
import { runFolder } from "./store.ts";

const adapterFolder = (id: string) => joinPath(runFolder(id), "adapter");

/** The sizes of what can be downloaded, and the code that uses it. */
export async function takeReport(run: PageRun, model: BaseModel): Promise<TakeReport> {
  const trained = await describeTrainedRun(run, model);
  const adapterBytes = await bytesIn(adapterFolder(run.id));
  const runBytes = run.state === "loaded" ? null : await bytesIn(runFolder(run.id));
  return { adapterBytes, runBytes, page: await pageReport(run, model, trained), usages: listUsages(trained) };
}

async function pageReport(run: PageRun, model: BaseModel, trained: Trained): Promise<TakeReport["page"]> {
  // It shows labels.
  if (run.record.objective === "lm" || run.record.objective === "regression") return null;
  try {
    return { bytes: (await planPage(run, model, trained)).bytes };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { summary, expected, found } = reportError(error);
    return { refused: `${summary}: it is ${found}, and must be ${expected}.` };
  }
}

/** What the visitor downloads. Without the base model, or an adapter, a zip file has no README. */
export async function takeFile(
  run: PageRun,
  what: Takeable | WantedForm,
  openModel: () => Promise<BaseModel>,
): Promise<Blob> {
  if (typeof what !== "string") return (await import("./forms.ts")).zipForm(run, await openModel(), what);
  if (what === "page") {
    const model = await openModel();
    const page = await planPage(run, model, await describeTrainedRun(run, model));
    const pieces: Blob[] = [];
    // A blob for each piece: browsers keep many on the disk.
    for await (const piece of page.write()) pieces.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
    return new Blob(pieces, { type: "text/html" });
  }
  const folder = what === "run" ? `lowrank-${run.id}` : "adapter";
  const adapter = what === "run" ? `${folder}/adapter` : folder;
  const model = hasAdapter(run) ? await openModel().catch(() => null) : null;
  const readme = model && writeReadme(await describeTrainedRun(run, model), folder, adapter);
  return zipDirectory(what === "run" ? runFolder(run.id) : adapterFolder(run.id), folder, readme);
}

async function planPage({ id }: PageRun, model: BaseModel, trained: Trained): Promise<StandalonePage> {
  const response = await fetch(new URL("./standalone.html", import.meta.url));
  const texts = { title: pageQuestion(trained.meta), summary: describeTrained(trained), example: trained.example };
  return planStandalone(await response.text(), texts, adapterFolder(id), model);
}

async function describeTrainedRun({ id, record, state, model: name }: PageRun, model: BaseModel): Promise<Trained> {
  const { meta } = await loadAdapter(runFolder(id), model);
  const isPeft = await exists(joinPath(adapterFolder(id), PEFT_CONFIG));
  const isLoaded = state === "loaded";
  return {
    meta,
    base: pageBase(name, model),
    end: model.vocabulary.end,
    data: isLoaded ? null : dataName(record),
    example: exampleText(record.results, record.pairs !== undefined),
    options: isLoaded ? null : record.options,
    result: resultText(record),
    obstacle: isPeft ? null : (record.peftObstacle ?? `${METHODS[meta.mode].title} is not one of its methods`),
  };
}

/** "97.2 % of 312 test messages correct (95 % interval 94.7 to 98.5 %)" */
function resultText(record: RunRecord): string | null {
  const { results } = record;
  if (!results) return null;
  const { accuracy, rows, perplexity } = results.after.test;
  if (perplexity !== undefined) return `perplexity ${perplexity.toFixed(1)} on the test set`;
  if (accuracy === undefined || !results.test) return headline(record);
  const { low, high } = wilson(Math.round(accuracy * rows), rows);
  const percent = (share: number) => (100 * share).toFixed(1);
  return `${percent(accuracy)} % of ${rows} test messages correct (95 % interval ${percent(low)} to ${percent(high)} %)`;
}
