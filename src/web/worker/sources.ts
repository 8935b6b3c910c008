/** Where a run's messages and its base model come from, in a page: shipped, picked by the visitor, kept, or of the hub. */
import { exists, joinPath, linkFile, listDirectory, openFile, remove } from "#platform";
import { Corpus } from "../../data/corpus.ts";
import { type DatasetOptions, type DatasetSpec, type LoadedDataset, loadDataset } from "../../data/datasets.ts";
import { DataModule } from "../../data/wasm.ts";
import { ConfigError } from "../../errors.ts";
import type { DownloadOptions } from "../../io/download.ts";
import { fingerprint } from "../../io/fingerprint.ts";
import { type GPT2Checkpoint, loadModel, openGPT2, SHIPPED_MODELS } from "../../io/hf.ts";
import { registerFile } from "../../platform/files.ts";
import type { DataChoice, PageSettings } from "../protocol.ts";

/** What picked files are called until they are kept. */
const PICKED = "picked";
/** Where models that were picked are kept. */
const MODELS = "models";
/** The files of a model that anything here reads. */
const TOKENIZER_FILES = ["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json"];
const MODEL_FILES = ["config.json", "model.safetensors", ...TOKENIZER_FILES];

/** Picks of the visitor so far: a file of the same name may be another one. */
let picks = 0;

export function pickData(file: File): string {
  picks++;
  const path = joinPath(PICKED, file.name);
  registerFile(path, file);
  return path;
}

/** The path of a run's messages: in its folder where they are kept there. */
async function pathOf(choice: Extract<DataChoice, { kind: "file" }>, folder: string | null): Promise<string> {
  const kept = folder === null ? "" : joinPath(folder, "data", choice.name);
  return folder !== null && (await exists(kept)) ? kept : joinPath(PICKED, choice.name);
}

/** Keeps the messages of a run beside it, so that it can go on when the page has forgotten the file. */
export async function keepData(choice: DataChoice, folder: string): Promise<void> {
  if (choice.kind !== "file") return;
  const kept = joinPath(folder, "data", choice.name);
  if (!(await exists(kept))) await linkFile(joinPath(PICKED, choice.name), kept);
}

export async function dropData(folder: string): Promise<void> {
  await remove(joinPath(folder, "data"));
}

export interface Source {
  data: LoadedDataset;
  spec: DatasetSpec;
  options: DatasetOptions;
}

/** The last data set: it is looked at, estimated with and trained on without being read again. */
let last: { key: string; source: Promise<Source> } | undefined;

/** The messages as settings want them; of a run where `folder` is its folder. */
export async function openData(settings: PageSettings, context: number, folder: string | null = null): Promise<Source> {
  const { data: choice, balance, dedupe, split, options: training } = settings;
  const options: DatasetOptions = {
    balance,
    dedupe,
    skipFaulty: true,
    split,
    seed: training.seed ?? 1,
    maxLength: Math.min(settings.maxLength || context, context),
  };
  if (choice.kind === "file") {
    const { textColumn, labelColumn } = choice;
    if (textColumn !== undefined) options.textColumn = textColumn;
    if (labelColumn !== undefined) options.labelColumn = labelColumn;
  }
  const spec: DatasetSpec = choice.kind === "named" ? { name: choice.name } : { file: await pathOf(choice, folder) };
  const key = JSON.stringify([spec, options, picks]);
  if (last?.key !== key) {
    const source = loadDataset(spec, options).then((data) => ({ data, spec, options }));
    last = { key, source };
    // What failed is read again when it is asked for again.
    source.catch(() => {
      if (last?.source === source) last = undefined;
    });
  }
  return last.source;
}

/** The first rows of the picked file: fields, or key, value, key, value, ... */
export async function firstRows(name: string): Promise<string[][]> {
  const file = await openFile(joinPath(PICKED, name));
  try {
    return await new Corpus(await DataModule.load()).sampleOf(file);
  } finally {
    await file.close();
  }
}

let model: { name: string; checkpoint: Promise<GPT2Checkpoint> } | undefined;

/**
 * A model by name; the last one stays open. Calls at the same time share it. One that another takes the place of is not
 * closed: a run may still be reading it, and a file of a page holds nothing that must be given back.
 */
export function openModel(name: string, options: DownloadOptions = {}): Promise<GPT2Checkpoint> {
  if (model?.name === name) return model.checkpoint;
  const checkpoint = openKept(name, options);
  model = { name, checkpoint };
  // What failed is opened again when it is asked for again.
  checkpoint.catch(() => {
    if (model?.checkpoint === checkpoint) model = undefined;
  });
  return checkpoint;
}

async function openKept(name: string, options: DownloadOptions): Promise<GPT2Checkpoint> {
  const kept = joinPath(MODELS, name);
  return name !== "" && (await exists(kept)) ? openGPT2(kept) : loadModel(name, options);
}

/** Models that need no network. */
export async function listModels(): Promise<{ name: string; kept: boolean }[]> {
  const kept = (await exists(MODELS)) ? await listDirectory(MODELS) : [];
  return [...SHIPPED_MODELS.map((name) => ({ name, kept: false })), ...kept.map((name) => ({ name, kept: true }))];
}

export async function forgetModel(name: string): Promise<void> {
  if (model?.name === name) model = undefined;
  await remove(joinPath(MODELS, name));
}

/** Keeps the files of a model's folder, once they are known to be one; returns its name. */
export async function addModel(files: readonly File[], emit: (share: number) => void): Promise<string> {
  const wanted = files.filter(({ name }) => MODEL_FILES.includes(name));
  const folder = wanted[0]?.webkitRelativePath.split("/").at(-2) || "my-gpt2";
  if (!wanted.some(({ name }) => name === "config.json") || !wanted.some(({ name }) => name === "model.safetensors"))
    throw new ConfigError("These files are no GPT-2 model", {
      expected: "config.json and model.safetensors, as Hugging Face lays them out",
      found:
        files
          .map(({ name }) => name)
          .slice(0, 8)
          .join(", ") || "nothing",
    });
  const picked = joinPath(PICKED, "model", folder);
  for (const file of wanted) registerFile(joinPath(picked, file.name), file);
  try {
    const { name, isKept } = await nameFor(await openGPT2(picked), folder);
    if (!isKept) await copyFiles(picked, joinPath(MODELS, name), wanted, emit);
    return name;
  } finally {
    await remove(picked);
  }
}

/** The name of a folder, with a number where another model has it: runs know theirs by its name. */
async function nameFor(added: GPT2Checkpoint, folder: string): Promise<{ name: string; isKept: boolean }> {
  const print = await fingerprint(added);
  const taken = (await listModels()).map(({ name }) => name);
  let name = folder;
  for (let i = 2; taken.includes(name); i++) {
    // Null: its files were not all there when the page went away.
    const other = await openModel(name).then(fingerprint, () => null);
    if (other === null || other === print) return { name, isKept: other !== null };
    name = `${folder} ${i}`;
  }
  return { name, isKept: false };
}

/** Copies all files, or leaves nothing. */
async function copyFiles(
  from: string,
  to: string,
  files: readonly File[],
  emit: (share: number) => void,
): Promise<void> {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  try {
    for (const { name, size } of files) {
      emit(done / total);
      await linkFile(joinPath(from, name), joinPath(to, name));
      done += size;
    }
  } catch (error) {
    await remove(to);
    throw error;
  }
}
