/** What may be replaced in an output directory: the files of an earlier export, and nothing else. */
import { exists, joinPath, listDirectory, readBytes } from "#platform";
import { ConfigError } from "../errors.ts";
import { EXACT, META } from "../io/peft/peft.ts";
import { PROMPTS, TOKENIZER_FILES } from "../io/tokenizer/tokenizer-names.ts";
import { refuseLink, refuseOthers } from "../run/files.ts";

/** The file that marks a directory as an export. */
export const README = "README.md";
/** The folder of a base model. Its weights can be several files of any names. */
export const BASE = "base";
const BASE_FILE = /^base\/\w[\w.-]*$/;
const ONNX_FILE = /^onnx\/model\w*\.onnx(_data)?$/;
const PAGE_FILE = /^([\p{L}\p{M}\p{N}-]+-)?classifier\.html$/u;

const EXPORT_FILES = [
  "adapter_config.json",
  "adapter_model.safetensors",
  "config.json",
  META,
  EXACT,
  "model.gguf",
  "generation_config.json",
  "model.safetensors",
  ...TOKENIZER_FILES,
  PROMPTS,
];

export const MARK = "Trained with Lowrank on ";
export const LISTED = "Written with this file: ";

/**
 * The files of the export in this directory, as listed in its README, which is the last one. Empty if there is none:
 * a base model that was given by mistake must not be deleted.
 */
export async function exportFiles(directory: string): Promise<string[]> {
  const path = joinPath(directory, README);
  const text = (await exists(path)) ? new TextDecoder().decode(await readBytes(path)) : "";
  const lines = text.trimEnd().split("\n");
  if (!lines.some((line) => line.startsWith(MARK))) return [];
  // The last line, as it is written: what a label or a person says above it lists nothing.
  const listed = lines.at(-1)!;
  const names = listed.startsWith(LISTED) ? [...listed.matchAll(/`([^`]+)`/g)].map(([, name]) => name!) : [];
  const isOurs = (name: string) =>
    EXPORT_FILES.includes(name) || [BASE_FILE, ONNX_FILE, PAGE_FILE].some((pattern) => pattern.test(name));
  return [...names.filter(isOurs), README];
}

/** Throws ConfigError unless the directory is missing, empty or, with `force`, has an export and nothing else. */
export async function refuseExport(directory: string, force: boolean): Promise<void> {
  await refuseLink(directory);
  if (!(await exists(directory))) return;
  const entries = await listDirectory(directory).catch(() => ["a file"]);
  if (entries.length === 0) return;
  if (!force)
    throw new ConfigError("output-exists", "the output directory already exists", {
      where: directory,
      expected: "a new path, or an empty directory",
      hint: "choose another --out, or give --force to replace an earlier export",
    });
  const files = await exportFiles(directory);
  if (files.length === 0)
    throw new ConfigError("not-an-export", "the output directory is not an export", {
      where: directory,
      expected: `a ${README} with "${MARK}..."`,
      hint: "choose another --out",
    });
  await refuseOthers(directory, files);
}
