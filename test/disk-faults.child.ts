/**
 * Runs a command of disk-commands.ts in each of some folders, in a process of its own: in the first one its first operation on
 * the disk fails, in the second one its second. A single folder: none fails but for DISK_FAULT. Prints how each ended.
 */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, LowrankError } from "../src/errors.ts";
import { COMMANDS, type Ended } from "./disk-commands.ts";

const { disk } = globalThis as unknown as {
  disk: { trace: string[][]; arm(at: number, code: string): void };
};

/** Exit codes as the commands'. */
async function run(name: string, folder: string): Promise<Ended> {
  process.env.TMPDIR = join(folder, "tmp");
  if (tmpdir() !== process.env.TMPDIR) throw new Error("the temporary folder is another one");
  let [code, message] = [0, ""];
  try {
    await COMMANDS[name]!.act(folder);
  } catch (error) {
    code = error instanceof ConfigError ? 2 : error instanceof LowrankError ? 1 : 3;
    message = error instanceof LowrankError ? error.message : String((error as Error).stack);
  }
  return { code, message, trace: disk.trace };
}

const [name, ...folders] = process.argv.slice(2) as [string, ...string[]];
const ended: Ended[] = [];
for (const [i, folder] of folders.entries()) {
  if (folders.length > 1) disk.arm(i + 1, i % 2 ? "EIO" : "ENOSPC");
  ended.push(await run(name, folder));
}
process.stdout.write(JSON.stringify(ended));
