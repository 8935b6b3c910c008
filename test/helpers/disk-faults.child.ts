/** Runs a command of disk-commands.ts in some folders, in its own process, with a fault in each; prints the results. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConfigError, LowrankError } from "../../src/errors.ts";
import { COMMANDS, type Ended, type Fault } from "./disk-commands.ts";

const { disk } = globalThis as unknown as {
  disk: { trace: string[][]; death: Promise<void>; arm(fault: Fault): void };
};

/** Exit codes as the commands'. */
async function run(name: string, fault: Fault): Promise<Ended> {
  const { folder } = fault;
  process.env.TMPDIR = join(folder, "tmp");
  if (tmpdir() !== process.env.TMPDIR) throw new Error("the temporary folder is another one");
  let [code, message] = [0, ""];
  disk.arm(fault);
  try {
    await Promise.race([COMMANDS[name]!.act(folder), disk.death]);
  } catch (error) {
    code = error instanceof ConfigError ? 2 : error instanceof LowrankError ? 1 : 3;
    message = error instanceof LowrankError ? error.message : String((error as Error).stack);
  }
  return { code, message, trace: disk.trace };
}

const [name, text] = process.argv.slice(2) as [string, string];
const faults: Fault[] = JSON.parse(text);
const ended: Ended[] = [];
for (const fault of faults) ended.push(await run(name, fault));
// A process that ends by itself removes its locks.
const isDead = faults.some(({ code }) => code === "DIE");
process.stdout.write(JSON.stringify(ended), () => isDead && process.kill(process.pid, "SIGKILL"));
