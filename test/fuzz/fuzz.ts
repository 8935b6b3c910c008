/**
 * Fuzzing: cases made from seeds, read in a worker, and judged. A case ends in an error of ours, short and printable,
 * or in a result that its kind checks: within a time and a memory, with nothing left behind and every file closed
 * again.
 *
 * Case i of a run with seed S is the only case of a run with seed S + i, so that two variables repeat everything:
 * LOWRANK_FUZZ is the number of cases, LOWRANK_FUZZ_SEED the first seed.
 */
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { isMainThread, parentPort, Worker } from "node:worker_threads";
import { packagePath } from "#platform";
import { LowrankError } from "../../src/core/errors.ts";
import { Rng } from "../../src/core/rng.ts";
import { afterAll } from "../helpers/harness.ts";
import { testRounds } from "../helpers/rounds.ts";

/** Files by their paths below a case's folder. */
export type Files = ReadonlyMap<string, string | Uint8Array>;

export interface Case {
  /** What is read: in the case's folder, and kept for whoever repeats a fault. */
  files: Files;
}

/** One kind of foreign bytes. */
export interface Kind<C extends Case> {
  name: string;
  /** As many cases as find a planted fault; `npm test` has a tenth of them, test:all three times as many. */
  count: number;
  /** Makes a case; of the same numbers the same. */
  make(rng: Rng): C;
  /**
   * Reads a case in a folder with its files and nothing else, where it may throw an error of ours; returns what checks
   * the result, where anything thrown is a fault.
   */
  read(one: C, folder: string): Promise<() => unknown>;
  /** Files that reading may add to the folder, change or remove. */
  leaves?: RegExp;
  /** What all cases end in; by default some are read, and some are refused. */
  ends?: "read" | "refused";
}

/** Milliseconds of processor time that a case may take: it has some kB. */
const LONGEST_CASE = 3000;
/** Milliseconds without a new case that are a hang: this machine may be busy. */
const HANG = 30_000;
/** Bytes by which a case may raise the most memory that the process ever had. */
const MEMORY = 200 << 20;
const HEAP_MB = 512;
/** Different faults after which a run ends. */
const MOST_FAULTS = 8;
/** The longest message; errors.ts cuts each of its parts. */
const LONGEST_MESSAGE = 3000;
const CONTROL = /(?![\n\t])[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]/u;

interface Fault {
  seed: number;
  what: string;
}

/** What the worker counts where the watchdog sees it. */
const [DONE, ACCEPTED, REFUSED] = [0, 1, 2];

/** Declares the test of a kind. */
export function fuzz<C extends Case>(kind: Kind<C>): void {
  const run = runner(kind);
  if (!isMainThread) return;
  testRounds(
    Math.ceil(kind.count / 10),
    Math.ceil(kind.count / 3) * 10,
    (count, seed) => `${count} cases of ${kind.name} from seed ${seed} are read or refused`,
    (count, seed) => run(seed, count),
  );
}

/** The worker's side: the kinds of its file by their names. */
const kinds = new Map<string, Kind<Case>>();

/**
 * What runs `count` cases from a seed on, and throws with every different fault; `hang` milliseconds without a new case
 * are one. It starts a worker of this very file, in which this call makes the kind known.
 */
export function runner<C extends Case>(kind: Kind<C>, hang = HANG): (seed: number, count: number) => Promise<void> {
  kinds.set(kind.name, kind as unknown as Kind<Case>);
  return (seed, count) => watch(kind, seed, count, hang);
}

/** Runs the cases in a worker, in a new one behind a case that ends it. */
async function watch<C extends Case>(kind: Kind<C>, seed: number, count: number, hang: number): Promise<void> {
  const started = Date.now();
  const shared = new Int32Array(new SharedArrayBuffer(12));
  const faults = new Map<string, Fault & { times: number }>();
  const note = ({ seed, what }: Fault) => {
    // The same fault of other bytes has other names and numbers.
    const key = what
      .split("\n")
      .slice(0, 2)
      .join()
      .replace(/\S*[\d."]\S*/g, "#");
    const before = faults.get(key);
    if (before) before.times++;
    else faults.set(key, { seed, what, times: 1 });
  };
  while (shared[DONE]! < count && faults.size < MOST_FAULTS) {
    const end = await runWorker({ name: kind.name, seed, count, shared }, hang, note);
    if (end !== undefined) note({ seed: seed + Atomics.add(shared, DONE, 1), what: end });
  }
  const [done, accepted, refused] = shared as unknown as [number, number, number];
  const seconds = ((Date.now() - started) / 1000).toFixed(1);
  const memory = `${process.resourceUsage().maxRSS >> 10} MiB at most`;
  const counts = `${done} cases, ${accepted} read, ${refused} refused, ${faults.size} faults`;
  console.log(`${kind.name}: ${counts}, ${seconds} s, ${memory}`);
  const found = [...faults.values()].map((fault) => describe(kind, fault)).join("\n");
  // Without the stack of this file.
  if (found !== "") throw Object.assign(new Error(found), { stack: "" });
  const ends = { read: [accepted], refused: [refused], both: [accepted, refused] }[kind.ends ?? "both"];
  if (count >= 100 && Math.min(...ends) < count / 100)
    throw new Error(`${accepted} of ${count} cases were read, ${refused} refused: too wild, or too tame`);
}

/** A fault for people: its seed, what happened, how to repeat it, and where its bytes are now. */
function describe<C extends Case>(kind: Kind<C>, { seed, what, times }: Fault & { times: number }): string {
  const folder = packagePath(`build/fuzz/${kind.name}-${seed}`);
  rmSync(folder, { recursive: true, force: true });
  put(folder, kind.make(new Rng(seed)).files);
  const part = basename(process.argv[1]!).replace(/\.test\.js$/, "");
  return [
    `${kind.name}, seed ${seed}${times > 1 ? ` and ${times - 1} more like it` : ""}: ${what}`,
    `  repeat: LOWRANK_FUZZ=1 LOWRANK_FUZZ_SEED=${seed} node test/run.mjs fuzz/${part}`,
    `  bytes:  ${folder}`,
  ].join("\n");
}

interface Orders {
  name: string;
  seed: number;
  count: number;
  shared: Int32Array;
}

/** The worker that waits for orders: it reads kind after kind, until a case ends it. */
let idle: Worker | undefined;
if (isMainThread) afterAll(() => void idle?.terminate());

/** Gives a worker its orders; resolves when all is done, or with what ended it in the case that it was at. */
function runWorker(orders: Orders, hang: number, note: (fault: Fault) => void): Promise<string | undefined> {
  return new Promise((resolve) => {
    const worker = idle ?? new Worker(process.argv[1]!, { resourceLimits: { maxOldGenerationSizeMb: HEAP_MB } });
    idle = undefined;
    const finish = (what?: string) => {
      clearInterval(timer);
      for (const event of ["message", "error", "exit"]) worker.removeAllListeners(event);
      resolve(what);
    };
    let at = -1;
    let since = Date.now();
    let end = "the worker ended before the case did: a promise that nothing keeps";
    const timer = setInterval(() => {
      const now = Atomics.load(orders.shared, DONE);
      if (now !== at) [at, since] = [now, Date.now()];
      else if (Date.now() - since > hang) {
        end = `it hangs: no end after ${hang / 1000} s`;
        void worker.terminate();
      }
    }, 250);
    worker.on("message", (fault: Fault | "done") => {
      if (fault !== "done") return note(fault);
      idle = worker;
      finish();
    });
    worker.on("error", (error) => {
      end = `it ends the worker: ${error.stack ?? error}`;
    });
    worker.on("exit", () => finish(end));
    worker.postMessage(orders);
  });
}

/** Waits for orders, without keeping the worker alive while it follows them: a promise that nothing keeps ends it. */
async function followOrders(): Promise<void> {
  for (;;) {
    const [orders] = await once(parentPort!, "message");
    await work(orders);
    parentPort!.postMessage("done");
  }
}
if (!isMainThread) void followOrders();

const TEMPORARY = tmpdir();

/** Reads case after case and reports each fault. */
async function work({ name, seed, count, shared }: Orders): Promise<void> {
  const kind = kinds.get(name)!;
  const root = mkdtempSync(join(TEMPORARY, "lowrank-fuzz-"));
  // What is left among the system's temporary files is seen, too.
  process.env.TMPDIR = root;
  const folder = join(root, "case");
  let faults = 0;
  try {
    // What is opened once and kept is none of a case's.
    for (const other of [seed, seed + 1]) {
      await judge(kind, kind.make(new Rng(other)), folder);
      rmSync(folder, { recursive: true, force: true });
    }
    let open = descriptors();
    while (Atomics.load(shared, DONE) < count && faults < 4 * MOST_FAULTS) {
      const own = seed + Atomics.load(shared, DONE);
      const one = kind.make(new Rng(own));
      const cpu = process.cpuUsage();
      const most = process.resourceUsage().maxRSS;
      const { what, refused } = await judge(kind, one, folder);
      const { user, system } = process.cpuUsage(cpu);
      const ms = (user + system) / 1000;
      const grown = (process.resourceUsage().maxRSS - most) << 10;
      const fault =
        what ??
        (ms > LONGEST_CASE ? `it takes ${ms.toFixed(0)} ms` : undefined) ??
        (grown > MEMORY ? `it takes ${grown >> 20} MiB of memory` : undefined) ??
        leftIn(root, folder, one.files, kind.leaves) ??
        (await leftOpen(open));
      if (fault !== undefined) {
        faults++;
        open = descriptors();
        parentPort!.postMessage({ seed: own, what: fault });
      } else Atomics.add(shared, refused ? REFUSED : ACCEPTED, 1);
      rmSync(folder, { recursive: true, force: true });
      Atomics.add(shared, DONE, 1);
    }
  } finally {
    rmSync(root, { recursive: true, force: true });
  }
}

/** Reads a case and checks what came of it: `what` is wrong, and whether it was refused. */
async function judge<C extends Case>(
  kind: Kind<C>,
  one: C,
  folder: string,
): Promise<{ what?: string; refused: boolean }> {
  put(folder, one.files);
  let check: () => unknown;
  try {
    check = await kind.read(one, folder);
  } catch (error) {
    const what = wrongWith(error);
    return { refused: true, ...(what === undefined ? {} : { what }) };
  }
  try {
    await check();
    return { refused: false };
  } catch (error) {
    return { refused: false, what: `it is read, but: ${(error as Error).stack ?? error}` };
  }
}

/** What is wrong with an error that reading threw; undefined for one of ours as it should be. */
function wrongWith(error: unknown): string | undefined {
  if (!(error instanceof LowrankError)) return `an error that is none of ours: ${(error as Error)?.stack ?? error}`;
  const { message } = error;
  if (message.length > LONGEST_MESSAGE) return `a message of ${message.length} characters: ${message.slice(0, 200)}`;
  const control = CONTROL.exec(message);
  return control ? `a control character in the message: ${JSON.stringify(message)}` : undefined;
}

/** What is in the folders now that should not, or undefined. */
function leftIn(root: string, folder: string, files: Files, leaves: RegExp | undefined): string | undefined {
  const beside = readdirSync(root).filter((name) => name !== "case");
  if (beside.length > 0) return `it leaves ${beside.join(", ")} among the temporary files`;
  for (const name of readdirSync(folder, { recursive: true }).map(String)) {
    const path = join(folder, name);
    if (leaves?.test(name) || (existsSync(path) && statSync(path).isDirectory())) continue;
    const content = files.get(name);
    if (content === undefined) return `it leaves ${name} in its folder`;
    if (!readFileSync(path).equals(Buffer.from(content as Uint8Array))) return `it changes ${name}`;
  }
  const gone = [...files.keys()].find((name) => !leaves?.test(name) && !existsSync(join(folder, name)));
  return gone === undefined ? undefined : `it removes ${gone}`;
}

/** Files, sockets and pipes that the process has open, by number, where the system tells. */
function descriptors(): Map<string, string> {
  const folder = "/proc/self/fd";
  const numbers = existsSync(folder) ? readdirSync(folder) : [];
  return new Map(numbers.flatMap((fd) => (existsSync(join(folder, fd)) ? [[fd, readlinkSync(join(folder, fd))]] : [])));
}

/** What is open that was not before; a socket takes a moment to go. */
async function leftOpen(before: Map<string, string>): Promise<string | undefined> {
  for (let tries = 0; ; tries++) {
    const now = descriptors();
    if (now.size <= before.size) return undefined;
    const more = [...now].filter(([fd, target]) => before.get(fd) !== target).map((one) => one.join(" is "));
    if (tries === 100) return `it leaves open: ${more.join(", ")}`;
    await new Promise((later) => setTimeout(later, Math.min(tries, 20)));
  }
}

/** Writes files below a folder. */
export function put(folder: string, files: Files): void {
  for (const [name, content] of files) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
}
