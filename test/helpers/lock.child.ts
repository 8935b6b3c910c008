/** Takes the lock of a path, says so, and when it is asked (a line of standard input) tries to write under it. */
import { withLock, writeFileAtomic } from "#platform";

const [path, stale] = process.argv.slice(2) as [string, string];
const waitForLine = () => new Promise((resolve) => process.stdin.once("data", resolve));
const work = async (check: () => Promise<void>) => {
  console.log("locked");
  await waitForLine();
  await writeFileAtomic(`${path}.txt`, "of the one that was stopped", check);
};
await withLock(path, work, undefined, Number(stale)).catch((error) => console.log(error.message));
process.stdin.destroy();
