/** Runs measurements in separate processes. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { packagePath } from "#platform";
import { ConfigError, LowrankError } from "../core/errors.ts";

/** Python imports nothing from the folder where the command was started. */
const ENV = { ...process.env, PYTHONSAFEPATH: "1" };

/** Runs a program for at most `limitSeconds`: what it prints, as JSON. Rejects with the reason if it ended early. */
export function runProcess<T>(program: string, args: readonly string[], limitSeconds: number): Promise<T> {
  const options = { env: ENV, timeout: 1000 * limitSeconds, killSignal: "SIGKILL", maxBuffer: Infinity } as const;
  return new Promise((resolve, reject) => {
    execFile(program, args, options, (error, output, errors) => {
      if (!error) resolve(JSON.parse(output));
      else reject(new Error(error.killed ? `stopped after ${limitSeconds} s` : (lastLine(errors) ?? error.message)));
    });
  });
}

/** The last line with a word: for Python, the line that names the exception. */
function lastLine(errors: string): string | undefined {
  return errors
    .trim()
    .split("\n")
    .findLast((line) => /\w/.test(line));
}

/** A program that answers each line of JSON with one, and ends when its input ends. */
export class Dialogue {
  private readonly child: ChildProcess;
  private readonly answers: AsyncIterator<string>;
  private readonly ended: Promise<string>;

  constructor(
    private readonly program: string,
    args: readonly string[],
  ) {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"], env: ENV });
    this.child = child;
    this.answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      errors += chunk;
    });
    child.stdin.on("error", () => {}); // the program has ended; `ask` reports the reason
    this.ended = new Promise((done) => {
      child.on("error", (error) => done(error.message));
      child.on("close", (code) => done(lastLine(errors) ?? `exit code ${code}`));
    });
  }

  /** Sends a line and waits for the answer. Throws LowrankError with the program's last error line if it has ended. */
  async ask<T>(question: unknown): Promise<T> {
    this.child.stdin?.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await this.answers.next();
    if (done)
      throw new LowrankError("process-ended", `${this.program} ended unexpectedly`, { found: await this.ended });
    return JSON.parse(value) as T;
  }

  /** As `ask`, with the first line. Throws ConfigError if the program cannot be run. */
  async begin<T>(job: unknown, peer: string, needs: string): Promise<T> {
    return this.ask<T>(job).catch((cause: LowrankError) => {
      throw new ConfigError("peer-not-installed", `${peer} cannot be run`, {
        expected: `${this.program} with ${needs}`,
        found: cause.details.found ?? cause.message,
        hint: "omit --peer",
        cause,
      });
    });
  }

  end(): void {
    this.child.kill();
  }
}

export function runSelf<T>(args: readonly string[], limitSeconds: number): Promise<T> {
  return runProcess(process.execPath, [packagePath("dist/bench.js"), ...args], limitSeconds);
}
