/** Recovery from an interrupted process. */
import { recover } from "../io/recover.ts";

/** Completes a replacement of a directory's files that was interrupted, and reports it on stderr. */
export async function settle(directory: string): Promise<void> {
  if (await recover(directory)) console.error(`${directory}: recovered files that an interrupted process was saving`);
}
