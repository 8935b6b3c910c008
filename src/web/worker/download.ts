/** What can be downloaded of a run: its files with a README, code that uses it, and a standalone HTML file. */
import { exists, joinPath } from "#platform";
import { architectureName } from "../../config.ts";
import { ConfigError } from "../../errors.ts";
import { type About, modelCard } from "../../export/card.ts";
import { baseLicence } from "../../export/licence.ts";
import { planStandalone, type StandalonePage } from "../../export/standalone.ts";
import { listUsages, pageQuestion, type Trained, trainedTitle } from "../../export/usage.ts";
import type { BaseModel } from "../../io/hf.ts";
import { loadAdapter } from "../../io/peft/open-adapter.ts";
import { PEFT_CONFIG } from "../../io/peft/peft.ts";
import { METHODS } from "../../methods/index.ts";
import { nameFile } from "../../quote.ts";
import { dataName, exampleText } from "../../run/record.ts";
import { hasLabels } from "../../tasks/index.ts";
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
  if (!hasLabels(run.record)) return null;
  try {
    return { bytes: (await planPage(run, model, trained)).bytes };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const { summary, expected, found } = reportError(error);
    return { refused: `${summary}: it is ${found}, and must be ${expected}.` };
  }
}

/** What the visitor downloads, named after the data. Without the base model, or an adapter, a zip has no README. */
export async function takeFile(
  run: PageRun,
  what: Takeable | WantedForm,
  sections: string | null,
  openModel: () => Promise<BaseModel>,
): Promise<File> {
  const name = (end: string) => nameFile(dataName(run.record), end);
  if (typeof what !== "string") return (await import("./forms.ts")).zipForm(run, await openModel(), what, sections);
  if (what === "page") {
    const model = await openModel();
    const page = await planPage(run, model, await describeTrainedRun(run, model));
    const pieces: Blob[] = [];
    // A blob for each piece: browsers keep many on the disk.
    for await (const piece of page.write()) pieces.push(new Blob([piece as Uint8Array<ArrayBuffer>]));
    return new File(pieces, name("classifier.html"), { type: "text/html" });
  }
  const folder = what === "run" ? name("run") : "adapter";
  const adapter = what === "run" ? `${folder}/adapter` : folder;
  const model = hasAdapter(run) ? await openModel().catch(() => null) : null;
  const readme = model && (await writeReadme(run, model, { directory: folder, adapter, sections }));
  const directory = what === "run" ? runFolder(run.id) : adapterFolder(run.id);
  return new File([await zipDirectory(directory, folder, readme)], name(`${what}.zip`));
}

interface ReadmePlaces {
  directory: string;
  adapter: string;
  sections: string | null;
}

async function writeReadme(run: PageRun, model: BaseModel, { directory, adapter, sections }: ReadmePlaces) {
  const trained = await describeTrainedRun(run, model);
  const about: About | undefined = sections === null ? undefined : { record: run.record, sections };
  return modelCard({
    ...{ ...trained, about, title: trainedTitle(trained), isAdapter: true },
    ...(trained.obstacle === null ? { library: "peft" } : {}),
    licence: await baseLicence(model, trained.base),
    usages: listUsages(trained, directory, adapter),
  });
}

async function planPage({ id, record }: PageRun, model: BaseModel, trained: Trained): Promise<StandalonePage> {
  const response = await fetch(new URL("./standalone.html", import.meta.url));
  const result = headline(record);
  const summary = `${architectureName(trained.meta.model)}, fine-tuned: ${trainedTitle(trained)}.${result === null ? "" : ` ${result}.`}`;
  const texts = { title: pageQuestion(trained.meta), summary, example: trained.example };
  return planStandalone(await response.text(), texts, adapterFolder(id), model);
}

async function describeTrainedRun({ id, record, model: name }: PageRun, model: BaseModel): Promise<Trained> {
  const { meta } = await loadAdapter(runFolder(id), model);
  const isPeft = await exists(joinPath(adapterFolder(id), PEFT_CONFIG));
  return {
    meta,
    base: pageBase(name, model),
    end: model.vocabulary.end,
    example: exampleText(record),
    obstacle: isPeft ? null : (record.peftObstacle ?? `${METHODS[meta.mode].title} is not one of its methods`),
  };
}
