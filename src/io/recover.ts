/** What a process that ended while it replaced a directory's files left half done. */
import { finishReplacing, isReplacing, withLock } from "#platform";
import { ConfigError } from "../errors.ts";

/** Completes the replacement of a directory's files that a killed process began; returns whether there was one. */
export async function recover(directory: string): Promise<boolean> {
  if (!(await isReplacing(directory))) return false;
  return withLock(
    directory,
    () => finishReplacing(directory),
    () => {
      throw new ConfigError("another process replaces the files of this directory", {
        where: directory,
        hint: "try again in a moment",
      });
    },
  );
}
