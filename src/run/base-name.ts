/** How files name a base model. */
import { absolutePath, packagePath } from "#platform";
import { SHIPPED_MODELS } from "../io/hf.ts";
import { parseSnapshot } from "../io/hub/hub-names.ts";

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
