/** What a run's files call its base model. */
import type { BaseModel } from "../../../io/hf.ts";
import { type BaseName, nameBase } from "../../../run/base-name.ts";

/** A folder has the name that it has in the page. */
export function pageBase(name: string, { directory }: BaseModel): BaseName {
  const base = nameBase(directory);
  return base.place === "folder" ? { ...base, name } : base;
}
