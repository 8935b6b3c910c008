/** Runs measurements in processes of their own. */
import { spawn } from "node:child_process";

/** What a process said, a JSON object a line, and why it ended early, if it did. */
export interface Outcome<T> {
  said: T[];
  fault: string | null;
}

/** Runs a program until it ends or `limitSeconds` have gone; what it said by then counts. */
export function runProcess<T>(program: string, args: readonly string[], limitSeconds: number): Promise<Outcome<T>> {
  return new Promise((done) => {
    const child = spawn(program, args, { stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let errors = "";
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      child.kill("SIGKILL");
    }, 1000 * limitSeconds);
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
    });
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      errors += chunk;
    });
    const finish = (fault: string | null) => {
      clearTimeout(timer);
      // The last line is whole only if it ends.
      const said = output.split("\n").slice(0, -1);
      done({ said: said.map((line) => JSON.parse(line) as T), fault });
    };
    child.on("error", (error) => finish(error.message));
    child.on("close", (code) => {
      const last = errors
        .trim()
        .split("\n")
        .findLast((line) => /\w/.test(line));
      finish(late ? `stopped after ${limitSeconds} s` : code === 0 ? null : (last ?? `exit code ${code}`));
    });
  });
}

/** Runs a hidden subcommand of this program in a process of its own. */
export function runSelf<T>(args: readonly string[], limitSeconds: number): Promise<Outcome<T>> {
  return runProcess(process.execPath, [process.argv[1]!, ...args], limitSeconds);
}
