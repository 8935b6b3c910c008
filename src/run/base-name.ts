/** How files name a base model. */
import { absolutePath } from "#platform";
import { shippedName } from "../io/hf.ts";
import { parseSnapshot } from "../io/hub-names.ts";

/** A base model as stored in files: its name, if it is in the package or from the hub, otherwise its absolute path. */
export interface BaseName {
  name: string;
  place: "package" | "hub" | "folder";
}

/** How a base model in a directory is named. */
export function nameBase(directory: string): BaseName {
  const shipped = shippedName(directory);
  if (shipped !== undefined) return { name: shipped, place: "package" };
  const path = absolutePath(directory);
  const fetched = parseSnapshot(path);
  return fetched ? { name: fetched.name, place: "hub" } : { name: path, place: "folder" };
}
