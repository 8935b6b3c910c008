/** What the commands say of what a killed process left. */
import { recover } from "../io/recover.ts";

/** Completes the replacement of a directory's files that a killed process began, and says so. */
export async function settle(directory: string): Promise<void> {
  if (await recover(directory))
    console.error(`${directory}: what an interrupted process was saving there is complete now`);
}
