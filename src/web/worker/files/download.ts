/** What can be downloaded of a run: its files with a README, and code that uses it; forms.ts has its other forms. */

import { exists, joinPath, packagePath } from "#platform";
import { ConfigError } from "../../../core/errors.ts";
import { nameFile } from "../../../core/quote.ts";
import { modelCard } from "../../../export/card.ts";
import { contentBytes } from "../../../export/form.ts";
import { EXPORT, EXPORTS, FORMS, type Form, planExport } from "../../../export/index.ts";
import { baseLicence } from "../../../export/licence.ts";
import { TEMPLATE } from "../../../export/page.ts";
import { listUsages, pageQuestion, type Trained, trainedTitle } from "../../../export/usage.ts";
import type { BaseModel } from "../../../io/hf.ts";
import { marked } from "../../../io/marker.ts";
import { loadAdapter } from "../../../io/peft/open-adapter.ts";
import { PEFT_CONFIG } from "../../../io/peft/peft.ts";
import { zip } from "../../../io/zip.ts";
import { METHODS } from "../../../methods/index.ts";
import { registerFile } from "../../../platform/files.ts";
import { contentPieces, type FileContent } from "../../../platform/reader.ts";
import { type BaseName, nameBase } from "../../../record/base-name.ts";
import { dataName, exampleText } from "../../../record/record.ts";
import { hasHead } from "../../../tasks/index.ts";
import {
  hasAdapter,
  type OtherForm,
  type PageRun,
  type Takeable,
  type TakeReport,
  type WantedForm,
} from "../../protocol.ts";
import { reportError } from "../errors.ts";
import { bytesIn, zipDirectory } from "./archive.ts";
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
  openModel: () => Promise<BaseModel>,
): Promise<File> {
  const name = (end: string) => nameFile(dataName(run.record), end);
  if (typeof what !== "string") return takeForm(run, await openModel(), what);
  const folder = what === "run" ? name("run") : "adapter";
  const adapter = what === "run" ? `${folder}/adapter` : folder;
  const model = hasAdapter(run) ? await openModel().catch(() => null) : null;
  const readme = model && (await writeReadme(run, model, folder, adapter));
  const directory = what === "run" ? runFolder(run.id) : adapterFolder(run.id);
  return new File([await zipDirectory(directory, folder, readme)], name(`${what}.zip`));
}

async function writeReadme(run: PageRun, model: BaseModel, directory: string, adapter: string) {
  const trained = await describeTrainedRun(run, model);
  return modelCard({
    ...{ ...trained, record: knownRecord(run), title: trainedTitle(trained), isAdapter: true },
    ...(trained.obstacle === null ? { library: "peft" } : {}),
    licence: await baseLicence(model, trained.base),
    usages: listUsages(trained, directory, adapter),
  });
}

/** Nothing is known of the training of an adapter from a file. */
const knownRecord = ({ state, record }: PageRun) => (state === "loaded" ? undefined : record);

async function describeTrainedRun({ id, record, model: name }: PageRun, model: BaseModel): Promise<Trained> {
  const { meta } = await loadAdapter(runFolder(id), model);
  const isPeft = await exists(joinPath(adapterFolder(id), PEFT_CONFIG));
  return {
    meta,
    base: pageBase(name, model),
    frame: model.vocabulary,
    example: exampleText(record),
    obstacle: isPeft ? null : (record.peftObstacle ?? `${METHODS[meta.mode].title} is not one of its methods`),
  };
}

/** What is offered: PEFT's adapter and the page have buttons of their own. */
const OFFERED = EXPORTS.filter((kind) => kind !== "peft" && kind !== "page");

/** The forms of a run, with the bytes of each, or why it has none. */
export async function listForms(run: PageRun, model: BaseModel): Promise<OtherForm[]> {
  const forms: OtherForm[] = [];
  for (const kind of OFFERED) {
    const { title = kind.toUpperCase(), reader, about, dtypes }: Form = FORMS[kind];
    const form: OtherForm = { kind, title, reader, about, choices: [], notes: [] };
    forms.push(form);
    try {
      for (const dtype of dtypes ?? [null]) {
        const { files, losses } = await planForm(run, model, { kind, dtype });
        form.choices.push({ dtype, bytes: sumBytes(files) });
        form.notes = losses.map((loss) => `it is not all of the run: ${loss}`);
      }
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      form.notes = [reportError(error).summary];
    }
  }
  return forms;
}

/** The bytes of the page of one file. Throws ConfigError if there is none. */
async function measurePage(run: PageRun, model: BaseModel): Promise<number> {
  const { files } = await planForm(run, model, { kind: "page", dtype: null });
  const [content] = files.values();
  return contentBytes(content!)!;
}

/** A zip of a form, its files in a folder; or a page, which is a file. */
async function takeForm(run: PageRun, model: BaseModel, wanted: WantedForm): Promise<File> {
  const { kind, dtype } = wanted;
  const { files } = await planForm(run, model, wanted);
  if (kind === "page") {
    const [[name, content]] = [...files] as [[string, FileContent]];
    const blobs: Blob[] = [];
    // A blob for each piece: browsers keep many on the disk.
    for await (const piece of contentPieces(content)) blobs.push(new Blob([piece]));
    return new File(blobs, name, { type: "text/html" });
  }
  const folder = nameFile(dataName(run.record), [kind, dtype ?? []].flat().join("-"));
  return new File([await zip(marked(files, EXPORT), `${folder}/`)], `${folder}.zip`);
}

async function planForm(run: PageRun, model: BaseModel, { kind, dtype, title }: WantedForm) {
  // In a page it is no file of the package: other pages need none.
  if (kind === "page") registerFile(packagePath(TEMPLATE), await fetch(new URL("../standalone.html", import.meta.url)));
  const opened = { adapter: await loadAdapter(runFolder(run.id), model), baseModel: model };
  return planExport(kind, opened, {
    record: knownRecord(run),
    base: pageBase(run.model, model),
    dtype: dtype ?? undefined,
    title,
  });
}

/** null: a file does not tell its bytes before it is made. */
function sumBytes(files: ReadonlyMap<string, FileContent>): number | null {
  let sum = 0;
  for (const content of files.values()) {
    const bytes = contentBytes(content);
    if (bytes === null) return null;
    sum += bytes;
  }
  return sum;
}

/** A folder has the name that it has in the page. */
function pageBase(name: string, { directory }: BaseModel): BaseName {
  const base = nameBase(directory);
  return base.place === "folder" ? { ...base, name } : base;
}
