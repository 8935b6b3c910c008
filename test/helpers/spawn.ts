/** The built commands, run as a person runs them. */
import { spawn } from "node:child_process";
import { closeSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
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
  /** Sees the standard output as it grows; `kill` sends a signal, once. */
  watch?: (stdout: string, kill: (signal: NodeJS.Signals) => void) => void;
  /** Asked again and again; once it says so the command gets SIGKILL. */
  killWhen?: () => boolean;
}

/** What Dawn prints about a software driver's limits. */
const DAWN_WARNING = /^Warning: max\w+ artificially reduced from .*\n/gm;

/** Runs dist/<name>.js to its end; Dawn's warnings are left out of what it says. */
export function runCommand(
  name: "train" | "sweep" | "classify" | "generate" | "export" | "verify" | "bench" | "doctor",
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
export function readTable(path: string): string[][] {
  const lines = readFileSync(path, "utf8").trimEnd().split("\r\n");
  return lines.map((line) => line.split(","));
}
