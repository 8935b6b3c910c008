/** How files name a base model. */
import { absolutePath, packagePath } from "#platform";
import { ConfigError } from "../core/errors.ts";
import { setting } from "../core/setting.ts";
import { DEFAULT_BASE, SHIPPED_MODELS } from "../io/hf.ts";
import { parseSnapshot } from "../io/hub/hub-names.ts";
import { hasHead, type Objective } from "../tasks/index.ts";

/** A base model as stored in files: its name, if it is in the package or from the hub, otherwise its absolute path. */
export interface BaseName {
  name: string;
  place: "package" | "hub" | "folder";
}

/** How a base model in a directory is named. */
export function nameBase(directory: string): BaseName {
  const path = absolutePath(directory);
  const shipped = Object.entries(SHIPPED_MODELS).find(([, file]) => absolutePath(packagePath(file)) === path);
  if (shipped) return { name: shipped[0], place: "package" };
  const fetched = parseSnapshot(path);
  return fetched ? { name: fetched.name, place: "hub" } : { name: path, place: "folder" };
}

/** That of language models, as an encoder does not write, and of sweeps, as the experiment is one of GPT-2. */
export const BUNDLED_GPT2 = "gpt2-micro";

/** Throws ConfigError for a base model that cannot write where a language model is learned. */
export function expectWriter(base: string, objective: Objective): void {
  if (base !== DEFAULT_BASE || hasHead({ objective })) return;
  throw new ConfigError("wrong-task", `${base} cannot write: it is an encoder`, {
    expected: "the base model of a language model",
    hint: `use ${setting("model", BUNDLED_GPT2)}, which is bundled, or smollm2-135m, which is downloaded (269 MB)`,
  });
}
