/** What the readers of several formats share. */
import { readBytes } from "#platform";
import { FormatError } from "../errors.ts";

/** Parses a JSON file; throws FormatError with its path. */
export async function readJson(path: string): Promise<unknown> {
  const text = new TextDecoder().decode(await readBytes(path));
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new FormatError("not a JSON file", { where: path, found: (cause as Error).message, cause });
  }
}

/** "1 tensor", "2 tensors". */
export function count(names: readonly string[], what: string): string {
  return `${names.length} ${what}${names.length === 1 ? "" : "s"}`;
}

/** At most ten names, and how many more there are. */
export function list(names: readonly string[]): string {
  const shown = names.slice(0, 10).join(", ");
  return names.length > 10 ? `${shown} and ${names.length - 10} more` : shown || "nothing";
}
