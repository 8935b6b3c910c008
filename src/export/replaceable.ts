/** What may be replaced in an output directory: the files of an earlier export, and nothing else. */
import { exists, joinPath, readBytes } from "#platform";
import { EXACT, META } from "../io/peft/peft.ts";
import { PROMPTS, TOKENIZER_FILES } from "../io/tokenizer/tokenizer-names.ts";
import { refuseOutput } from "../run/files.ts";

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
export const refuseExport = (directory: string, force: boolean): Promise<boolean> =>
  refuseOutput(directory, force, {
    own: exportFiles,
    describe: () => ({ found: "an earlier export", hint: "choose another --out, or give --force to replace it" }),
  });
