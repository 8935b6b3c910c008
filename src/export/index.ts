/**
 * Exports a run to other programs: the list of forms, each in a file that is loaded when it is asked for. What a form
 * cannot express is found before anything is written.
 */
import { ConfigError } from "../core/errors.ts";
import type { CommonDtype } from "../core/tensor.ts";
import { listedIn, refuseOutput } from "../io/marker.ts";
import { readsChats } from "../io/peft/adapter-meta.ts";
import type { OpenedAdapter } from "../io/peft/open-adapter.ts";
import { readFinalNorm } from "../io/peft/peft-write.ts";
import type { FileContent } from "../platform/reader.ts";
import { type BaseName, nameBase } from "../record/base-name.ts";
import type { RunRecord } from "../record/record.ts";
import { hasHead } from "../tasks/index.ts";
import { modelCard } from "./card.ts";
import type { FormOptions, PlanForm } from "./form.ts";
import { baseLicence } from "./licence.ts";
import { foldTemperature, listLosses } from "./losses.ts";

const README = "README.md";

/** An export's directory. A base model that was given by mistake must not be deleted. */
export const EXPORT = listedIn("lowrank-export");

/** Throws ConfigError unless the directory is missing, empty or, with `force`, has an export and nothing else. */
export const refuseExport = (directory: string, force: boolean): Promise<boolean> =>
  refuseOutput(directory, force, EXPORT, () => ({
    found: "an earlier export",
    hint: "choose another --out, or give --force to replace it",
  }));

export interface Form {
  /** Its name in the page; absent: its name, in capitals. */
  title?: string;
  /** The program that reads it. */
  reader: string;
  /** For --help. */
  about: string;
  /** A base model can be copied next to it. */
  takesBase?: true;
  /** The types that its weights can have; absent: one. */
  dtypes?: readonly CommonDtype[];
  /** It runs Lowrank's own code, and expresses all of a run. */
  isWhole?: true;
  /** It has a title for people. */
  takesTitle?: true;
  load(): Promise<{ plan: PlanForm }>;
}

/** All forms by their name in --to. */
export const FORMS = {
  peft: {
    reader: "PEFT",
    about: "an adapter directory",
    takesBase: true,
    load: () => import("./peft.ts"),
  },
  merged: {
    title: "Merged model",
    reader: "transformers",
    about: "a directory with the whole model",
    dtypes: ["f32", "f16"],
    load: () => import("./merged.ts"),
  },
  gguf: {
    reader: "llama.cpp",
    about: "a file with the whole model",
    dtypes: ["f16", "f32", "q8", "q4"],
    load: () => import("./gguf.ts"),
  },
  onnx: {
    reader: "transformers.js",
    about: "a folder with the whole model, for ONNX Runtime",
    dtypes: ["f32", "f16", "q8"],
    load: () => import("./onnx.ts"),
  },
  page: {
    reader: "any browser",
    about: "an HTML file that classifies without a server or a network, with messages of the test set to click",
    isWhole: true,
    takesTitle: true,
    load: () => import("./page.ts"),
  },
} as const satisfies Record<string, Form>;

export type ExportKind = keyof typeof FORMS;
export const EXPORTS = Object.keys(FORMS) as ExportKind[];

interface ExportPlan {
  files: Map<string, FileContent>;
  losses: string[];
  notes: string[];
}

interface ExportOptions extends Partial<FormOptions> {
  /** Of its run; an adapter from elsewhere has none. */
  record?: RunRecord | undefined;
  /** The name of the base model. */
  base?: BaseName;
}

/**
 * The files of an export; their contents are created when they are written. Throws ConfigError if the run cannot be
 * exported in this form.
 */
export async function planExport(
  kind: ExportKind,
  opened: OpenedAdapter,
  { record, withBase = false, dtype, title, base = nameBase(opened.baseModel.directory) }: ExportOptions = {},
): Promise<ExportPlan> {
  const form: Form = FORMS[kind];
  if (withBase && !form.takesBase)
    throw new ConfigError("options-conflict", `--to ${kind} has the base model in it`, {
      hint: "leave out --with-base",
    });
  if (title !== undefined && !form.takesTitle)
    throw new ConfigError("options-conflict", `--to ${kind} has no title`, { hint: "leave out --title" });
  const { dtypes = [] } = form;
  if (dtype !== undefined && !dtypes.includes(dtype))
    throw new ConfigError("options-conflict", `--to ${kind} has no weights of this type`, {
      expected: dtypes.join(" or ") || "no --dtype",
      found: dtype,
    });
  const { baseModel } = opened;
  const adapter = form.isWhole ? opened.adapter : foldTemperature(opened.adapter);
  const finalNorm = hasHead(adapter.meta.task) ? await readFinalNorm(adapter, baseModel) : undefined;
  const source = { ...opened, adapter, finalNorm, base, record };
  const exported = await (await form.load()).plan(source, { withBase, dtype, title });
  const losses = form.isWhole ? [] : listLosses(adapter, finalNorm);
  const { files, notes, warning } = exported;
  const { meta } = adapter;
  const licence = await baseLicence(baseModel, base);
  const chatTemplate = readsChats(meta) ? baseModel.vocabulary.chat?.template : undefined;
  files.set(README, modelCard({ ...exported, meta, base, licence, record, chatTemplate, losses }));
  return { files, losses, notes: [warning ?? [], notes].flat() };
}
