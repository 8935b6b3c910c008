/** What a killed process left: a lock, or files that it had begun to replace. */
import { dropDeadLock, finishReplacing, isReplacing, withLock } from "#platform";
import { ConfigError } from "../errors.ts";

/**
 * Removes the lock of a killed process, completes the replacement of a directory's files where the new ones counted already,
 * and drops it where they did not; returns whether there was one to complete.
 */
export async function recover(directory: string): Promise<boolean> {
  await dropDeadLock(directory);
  const found = await isReplacing(directory);
  if (found === false) return false;
  const busy = new ConfigError("another process replaces the files of this directory", {
    where: directory,
    hint: "try again in a moment",
  });
  const refuse = () => {
    throw busy;
  };
  return withLock(directory, () => finishReplacing(directory), refuse).catch((error) => {
    // Files that do not count yet, of a process that lives.
    if (error === busy && found !== "committed") return false;
    throw error;
  });
}
