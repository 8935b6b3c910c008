/** What is taken away of a run: its files with a README, code that uses it, and one HTML file that classifies on its own. */
import { exists, joinPath } from "#platform";
import { MODE_TITLES } from "../../config.ts";
import { ConfigError } from "../../errors.ts";
import type { GPT2Checkpoint } from "../../io/hf.ts";
import { loadAdapter } from "../../io/open-adapter.ts";
import { PEFT_CONFIG } from "../../io/peft.ts";
import { wilson } from "../../report/statistics.ts";
import { nameBase, readRunConfig } from "../../run/directory.ts";
import { testMessages, textToTry } from "../../run/predictions.ts";
import { planStandalone, type StandalonePage } from "../../run/standalone.ts";
import { questionOf, readmeOf, summaryOf, type Trained, usagesOf } from "../../run/usage.ts";
import type { RunRecord, Takeable, TakeReport } from "../protocol.ts";
import { bytesIn, zipDirectory } from "./archive.ts";
import { reportOf } from "./errors.ts";
import { resultOf } from "./store.ts";

const adapterOf = (id: string) => joinPath(resultOf(id), "adapter");

/** The sizes of what can be downloaded, and the code that uses it. */
export async function takeReport(run: RunRecord, model: GPT2Checkpoint): Promise<TakeReport> {
  const trained = await trainedOf(run, model);
  const adapterBytes = await bytesIn(adapterOf(run.id));
  const runBytes = run.state === "loaded" ? null : await bytesIn(resultOf(run.id));
  return { adapterBytes, runBytes, page: await pageReport(run, model, trained), usages: usagesOf(trained) };
}

async function pageReport(run: RunRecord, model: GPT2Checkpoint, trained: Trained): Promise<TakeReport["page"]> {
  if (run.objective === "lm") return null;
  try {
    return { bytes: (await planPage(run, model, trained)).bytes };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { summary, expected, found } = reportOf(error);
    return { refused: `${summary}: ${found}, and a file can have ${expected}.` };
  }
}

/** What the visitor downloads. Without the base model a zip file has no README. */
export async function takeFile(
  run: RunRecord,
  what: Takeable,
  openModel: () => Promise<GPT2Checkpoint>,
): Promise<Blob> {
  if (what === "page") {
    const model = await openModel();
    const page = await planPage(run, model, await trainedOf(run, model));
    const pieces: Blob[] = [];
    // A blob for each piece: browsers keep many on the disk.
    for await (const piece of page.write()) pieces.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
    return new Blob(pieces, { type: "text/html" });
  }
  const folder = what === "run" ? `lowrank-${run.id}` : "adapter";
  const adapter = what === "run" ? `${folder}/adapter` : folder;
  const readme = await openModel().then(
    async (model) => readmeOf(await trainedOf(run, model), folder, adapter),
    () => null,
  );
  return zipDirectory(what === "run" ? resultOf(run.id) : adapterOf(run.id), folder, readme);
}

async function planPage({ id }: RunRecord, model: GPT2Checkpoint, trained: Trained): Promise<StandalonePage> {
  const response = await fetch(new URL("./standalone.html", import.meta.url));
  const texts = { title: questionOf(trained.meta), summary: summaryOf(trained), example: trained.example };
  return planStandalone(await response.text(), texts, adapterOf(id), model);
}

async function trainedOf(run: RunRecord, model: GPT2Checkpoint): Promise<Trained> {
  const directory = resultOf(run.id);
  const { meta } = await loadAdapter(directory, model);
  const config = run.state === "loaded" ? null : await readRunConfig(directory);
  const isPeft = await exists(joinPath(adapterOf(run.id), PEFT_CONFIG));
  const { model: name } = run.settings;
  return {
    meta,
    base: baseOf(name, model),
    end: model.vocabulary.end,
    data: config && run.dataName,
    example: await exampleFor(directory),
    options: config?.options ?? null,
    result: resultText(run),
    obstacle: isPeft ? null : (run.peftObstacle ?? `${MODE_TITLES[meta.mode]} is not one of its methods`),
  };
}

/** A message of the test set, best one that was labelled rightly. */
async function exampleFor(directory: string): Promise<string> {
  const messages = (await testMessages(directory)) ?? [];
  const right = messages.filter(({ truth, predicted }) => truth === predicted);
  return textToTry([...right, ...messages].map(({ text }) => text));
}

/** A folder has the name that it has in the page. */
function baseOf(name: string, { directory }: GPT2Checkpoint): Trained["base"] {
  const base = nameBase(directory);
  return base.place === "folder" ? { ...base, name } : base;
}

/** "97.2 % of 312 test messages correct (95 % interval 94.7 to 98.5 %)" */
function resultText({ after }: RunRecord): string | null {
  if (!after) return null;
  const { accuracy, rows, perplexity } = after.test;
  if (perplexity !== undefined) return `perplexity ${perplexity.toFixed(1)} on the test set`;
  const { low, high } = wilson(Math.round(accuracy * rows), rows);
  const percent = (share: number) => (100 * share).toFixed(1);
  return `${percent(accuracy)} % of ${rows} test messages correct (95 % interval ${percent(low)} to ${percent(high)} %)`;
}
