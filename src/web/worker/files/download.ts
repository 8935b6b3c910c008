/** What can be downloaded of a run: its files with a README, and code that uses it; forms.ts has its other forms. */
import { exists, joinPath } from "#platform";
import { ConfigError } from "../../../errors.ts";
import { type About, modelCard } from "../../../export/card.ts";
import { baseLicence } from "../../../export/licence.ts";
import { listUsages, pageQuestion, type Trained, trainedTitle } from "../../../export/usage.ts";
import type { BaseModel } from "../../../io/hf.ts";
import { loadAdapter } from "../../../io/peft/open-adapter.ts";
import { PEFT_CONFIG } from "../../../io/peft/peft.ts";
import { METHODS } from "../../../methods/index.ts";
import { nameFile } from "../../../quote.ts";
import { dataName, exampleText } from "../../../run/record.ts";
import { hasHead } from "../../../tasks/index.ts";
import { hasAdapter, type PageRun, type Takeable, type TakeReport, type WantedForm } from "../../protocol.ts";
import { reportError } from "../errors.ts";
import { bytesIn, zipDirectory } from "./archive.ts";
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

async function pageReport(run: PageRun, model: BaseModel, { meta }: Trained): Promise<TakeReport["page"]> {
  if (!hasHead(run.record)) return null;
  try {
    const { measurePage } = await import("./forms.ts");
    return { bytes: await measurePage(run, model), title: pageQuestion(meta) };
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
  if (typeof what !== "string") return (await import("./forms.ts")).takeForm(run, await openModel(), what, sections);
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
