/** Runs measurements in processes of their own. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { LowrankError } from "../errors.ts";

/** What a process said, a JSON object a line, and why it ended early, if it did. */
export interface Outcome<T> {
  lines: T[];
  failure: string | null;
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
    const finish = (failure: string | null) => {
      clearTimeout(timer);
      // The last line is whole only if it ends.
      const lines = output.split("\n").slice(0, -1);
      done({ lines: lines.map((line) => JSON.parse(line) as T), failure });
    };
    child.on("error", (error) => finish(error.message));
    child.on("close", (code) => {
      finish(late ? `stopped after ${limitSeconds} s` : code === 0 ? null : (lastLine(errors) ?? `exit code ${code}`));
    });
  });
}

/** The last line that says something: of Python's errors the one that names it. */
function lastLine(errors: string): string | undefined {
  return errors
    .trim()
    .split("\n")
    .findLast((line) => /\w/.test(line));
}

/** A program that answers each line with one, JSON both ways, and ends with its input. */
export class Dialogue {
  private readonly child: ChildProcess;
  private readonly answers: AsyncIterator<string>;
  private readonly ended: Promise<string>;

  constructor(
    private readonly program: string,
    args: readonly string[],
  ) {
    const child = spawn(program, args, { stdio: ["pipe", "pipe", "pipe"] });
    this.child = child;
    this.answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      errors += chunk;
    });
    child.stdin.on("error", () => {}); // of a program that is gone: told by how it ended
    this.ended = new Promise((done) => {
      child.on("error", (error) => done(error.message));
      child.on("close", (code) => done(lastLine(errors) ?? `exit code ${code}`));
    });
  }

  /** Says one thing and waits for the answer; throws what the program said last where it ended instead. */
  async ask<T>(question: unknown): Promise<T> {
    this.child.stdin?.write(`${JSON.stringify(question)}\n`);
    const { value, done } = await this.answers.next();
    if (done) throw new LowrankError(`${this.program} ended`, { found: await this.ended });
    return JSON.parse(value) as T;
  }

  end(): void {
    this.child.kill();
  }
}

/** Runs a hidden subcommand of this program in a process of its own. */
export function runSelf<T>(args: readonly string[], limitSeconds: number): Promise<Outcome<T>> {
  return runProcess(process.execPath, [process.argv[1]!, ...args], limitSeconds);
}
