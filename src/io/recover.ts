/** Cleanup after a killed process: a stale lock, or a replacement of files that was interrupted. */
import { dropDeadLock, withLock } from "#platform";
import { ConfigError } from "../errors.ts";
import { finishReplacing, isReplacing } from "../platform/replacing.ts";

/**
 * Removes the lock of a killed process. Completes an interrupted replacement of a directory's files if it was
 * committed, otherwise rolls it back. Returns whether one was completed.
 */
export async function recover(directory: string): Promise<boolean> {
  await dropDeadLock(directory);
  const found = await isReplacing(directory);
  if (found === false) return false;
  const busy = new ConfigError("used-by-another-process", "another process is replacing the files of this directory", {
    where: directory,
    hint: "try again in a moment",
  });
  const refuse = () => {
    throw busy;
  };
  return withLock(directory, () => finishReplacing(directory), refuse).catch((error) => {
    // A running process has not committed its files yet: the old ones are valid.
    if (error === busy && found !== "committed") return false;
    throw error;
  });
}
