/** The built commands, in a process of their own as a person runs them, or, which takes a tenth, in this one. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { Readable } from "node:stream";
import { pathToFileURL } from "node:url";
import { packagePath } from "#platform";

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface SpawnOptions {
  /** The working directory. */
  cwd: string;
  /** Flags of Node itself. */
  node?: readonly string[];
  /** What the command reads from its standard input; empty where left out. */
  input?: string | Uint8Array;
  /** Where the standard output goes: a pipe that nobody reads after the first words, or a disk that is full. */
  stdout?: "closed" | "full";
  /** Sees the standard output as it grows; `kill` sends a signal, once; in this process to the command's listeners. */
  watch?: (stdout: string, kill: (signal: NodeJS.Signals) => void) => unknown;
  /** Asked again and again; once it says so the command gets SIGKILL. */
  killWhen?: () => boolean;
  /** In a process of its own, though none of the above needs one. */
  spawned?: boolean;
}

type CommandName =
  | "lowrank"
  | "train"
  | "check"
  | "sweep"
  | "classify"
  | "embed"
  | "generate"
  | "export"
  | "bench"
  | "doctor";

/** What Dawn prints about a software driver's limits. */
const DAWN_WARNING = /^Warning: max\w+ artificially reduced from .*\n/gm;

/** Runs dist/<name>.js to its end, in this process unless `options` need one of its own. */
export function runCommand(name: CommandName, args: readonly string[], options: SpawnOptions): Promise<Finished> {
  const { cwd: _, input: _i, watch: _w, ...rest } = options;
  if (Object.keys(rest).length > 0) return spawnCommand(name, args, options);
  const finished = calls.then(() => callCommand(name, args, options));
  calls = finished.catch(() => {});
  return finished;
}

/** The last call of a command in this process: they share its streams, so that only one runs at a time. */
let calls: Promise<unknown> = Promise.resolve();
let count = 0;

async function callCommand(
  name: CommandName,
  args: readonly string[],
  { cwd, input = "", watch }: SpawnOptions,
): Promise<Finished> {
  const result: Finished = { code: null, stdout: "", stderr: "" };
  let isKilled = false;
  const kill = (signal: NodeJS.Signals) => {
    if (!isKilled && !process.emit(signal)) throw new Error(`the command does not listen to ${signal}`);
    isKilled = true;
  };
  const script = packagePath(`dist/${name}.js`);
  const { argv, exitCode } = process;
  const [directory, stdin] = [process.cwd(), Object.getOwnPropertyDescriptor(process, "stdin")!];
  const streams = (["stdout", "stderr"] as const).map((key) => {
    const stream = process[key];
    const { write } = stream;
    const listeners = stream.listeners("error");
    const decoder = new TextDecoder();
    stream.write = (chunk: string | Uint8Array) => {
      result[key] += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true });
      if (key === "stdout") watch?.(result.stdout, kill);
      return true;
    };
    return () => {
      stream.write = write;
      for (const one of stream.listeners("error")) if (!listeners.includes(one)) stream.off("error", one as () => void);
    };
  });
  process.argv = [argv[0]!, script, ...args];
  process.exitCode = undefined;
  process.chdir(cwd);
  Object.defineProperty(process, "stdin", { ...stdin, get: () => Readable.from([Buffer.from(input)]) });
  try {
    // The module of a command is its run: it is loaded anew, what it imports is not.
    await import(`${pathToFileURL(script)}?${count++}`);
    result.code = Number(process.exitCode ?? 0);
  } finally {
    for (const restore of streams) restore();
    Object.defineProperty(process, "stdin", stdin);
    process.chdir(directory);
    Object.assign(process, { argv, exitCode });
  }
  return result;
}

/** In a process of its own; Dawn's warnings are left out of what it says. */
function spawnCommand(
  name: CommandName,
  args: readonly string[],
  { cwd, node = [], input = "", stdout, watch, killWhen }: SpawnOptions,
): Promise<Finished> {
  const out = stdout === "full" ? openSync("/dev/full", "w") : "pipe";
  const command = [...node, packagePath(`dist/${name}.js`), ...args];
  const child = spawn(process.execPath, command, { cwd, stdio: ["pipe", out, "pipe"] });
  if (out !== "pipe") closeSync(out);
  const result: Finished = { code: null, stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8").on("data", (chunk: string) => {
    result.stdout += chunk;
    if (stdout === "closed") child.stdout!.destroy();
    watch?.(result.stdout, (signal) => child.killed || child.kill(signal));
  });
  child.stderr!.setEncoding("utf8").on("data", (chunk: string) => {
    result.stderr += chunk;
  });
  // A command that refuses its arguments ends before it has read anything.
  child.stdin!.on("error", () => {});
  child.stdin!.end(input);
  const timer = killWhen && setInterval(() => killWhen() && child.kill("SIGKILL"), 10);
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => {
      clearInterval(timer);
      resolve({ ...result, code, stderr: result.stderr.replaceAll(DAWN_WARNING, "") });
    });
  });
}

/** Files below a folder, by their paths in it, sorted. A command that runs may have renamed one meanwhile. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map(String)
    .filter((path) => statSync(join(folder, path), { throwIfNoEntry: false })?.isFile())
    .sort();
}

/** Contents of all files below a folder, by path: to tell whether anything was touched. */
export function snapshot(folder: string): Map<string, string> {
  return new Map(filesIn(folder).map((path) => [path, readFileSync(join(folder, path)).toString("base64")]));
}

/** Throws, with all that the command said, unless it ended with `code`. */
export function assertCode({ code, stdout, stderr }: Finished, expected: number): void {
  if (code !== expected) throw new Error(`exit code ${code}, expected ${expected}\n${stdout}\n${stderr}`);
}

/** The lines and fields of a CSV file of ours without quotes. */
export function parseTable(csv: string): string[][] {
  const lines = csv.trimEnd().split("\r\n");
  return lines.map((line) => line.split(","));
}
