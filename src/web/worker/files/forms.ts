/** The forms in which other programs read a run: zip files, and a page of one file. */
import { packagePath } from "#platform";
import { ConfigError } from "../../../errors.ts";
import { contentBytes } from "../../../export/form.ts";
import { EXPORTS, FORMS, type Form, planExport } from "../../../export/index.ts";
import { TEMPLATE } from "../../../export/page.ts";
import type { BaseModel } from "../../../io/hf.ts";
import { loadAdapter } from "../../../io/peft/open-adapter.ts";
import { registerFile } from "../../../platform/files.ts";
import { contentPieces, type FileContent } from "../../../platform/reader.ts";
import { nameFile } from "../../../quote.ts";
import { dataName } from "../../../run/record.ts";
import type { OtherForm, PageRun, WantedForm } from "../../protocol.ts";
import { reportError } from "../errors.ts";
import { pageBase } from "./page-base.ts";
import { runFolder } from "./store.ts";

/** What is offered: PEFT's adapter and the page have buttons of their own. */
const OFFERED = EXPORTS.filter((kind) => kind !== "peft" && kind !== "page");

/** The forms of a run, with the bytes of each, or why it has none. */
export async function listForms(run: PageRun, model: BaseModel, sections: string | null): Promise<OtherForm[]> {
  const forms: OtherForm[] = [];
  for (const kind of OFFERED) {
    const { title = kind.toUpperCase(), reader, about, dtypes }: Form = FORMS[kind];
    const form: OtherForm = { kind, title, reader, about, choices: [], notes: [] };
    forms.push(form);
    try {
      for (const dtype of dtypes ?? [null]) {
        const { files, losses } = await planForm(run, model, { kind, dtype }, sections);
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
export async function measurePage(run: PageRun, model: BaseModel): Promise<number> {
  const { files } = await planForm(run, model, { kind: "page", dtype: null }, run.state === "loaded" ? null : "");
  const [content] = files.values();
  return contentBytes(content!)!;
}

/** A zip of a form, its files in a folder; or a page, which is a file. */
export async function takeForm(
  run: PageRun,
  model: BaseModel,
  wanted: WantedForm,
  sections: string | null,
): Promise<File> {
  const { kind, dtype } = wanted;
  const { files } = await planForm(run, model, wanted, sections);
  if (kind === "page") {
    const [[name, content]] = [...files] as [[string, FileContent]];
    const blobs: Blob[] = [];
    // A blob for each piece: browsers keep many on the disk.
    for await (const piece of contentPieces(content)) blobs.push(new Blob([piece]));
    return new File(blobs, name, { type: "text/html" });
  }
  const { zip } = await import("../../../io/zip.ts");
  const folder = nameFile(dataName(run.record), [kind, dtype ?? []].flat().join("-"));
  const zipped = await zip([...files].map(([name, content]) => [`${folder}/${name}`, content]));
  return new File([zipped], `${folder}.zip`);
}

async function planForm(
  { id, record, model: name }: PageRun,
  model: BaseModel,
  { kind, dtype, title }: WantedForm,
  sections: string | null,
) {
  // In a page it is no file of the package: other pages need none.
  if (kind === "page") registerFile(packagePath(TEMPLATE), await fetch(new URL("../standalone.html", import.meta.url)));
  const opened = { adapter: await loadAdapter(runFolder(id), model), baseModel: model };
  return planExport(kind, opened, {
    about: sections === null ? undefined : { record, sections },
    base: pageBase(name, model),
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
