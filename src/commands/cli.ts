/** What the commands share: options through commander, errors as a person reads them, exit codes. */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import manifest from "../../package.json" with { type: "json" };
import { DEVICES, WEIGHT_DTYPES } from "../config.ts";
import { ConfigError, DataError, LowrankError, printable } from "../errors.ts";
import { LIMITS } from "../io/limits.ts";

/** A command with its name, what it does and examples; unknown flags are errors that suggest the nearest. */
export function command(name: string, description: string, examples: string): Command {
  return new Command(name)
    .description(description)
    .version(manifest.version)
    .showHelpAfterError("(--help lists the flags)")
    .addHelpText("after", `\nExamples:\n${examples}`)
    .configureHelp({ helpWidth: 110 })
    .exitOverride();
}

/** Prints on stdout what has names from outside in it: a terminal obeys their control characters. */
export function print(text: string): void {
  console.log(printable(text));
}

/** The same on stderr. */
export function printNote(text: string): void {
  console.error(printable(text));
}

/** A flag whose value is one of a few words. */
export function choice(flags: string, description: string, words: readonly string[]): Option {
  return new Option(flags, description).choices(words);
}

/** Where to compute. */
export function deviceFlag(): Option {
  return choice("--device <name>", "where to compute; auto: a hardware GPU, else wasm", DEVICES).default("auto");
}

/** How many threads the device wasm has. */
export function threadsFlag(): Option {
  return new Option("--threads <n>", "threads of the device wasm (default: one a core)").argParser(number);
}

/** What the frozen weights of a trained model are kept in. */
export function dtypeFlag(): Option {
  const description = "what frozen weights are kept in; nothing is frozen in mode all (default: as in training)";
  return choice("--dtype <type>", description, WEIGHT_DTYPES);
}

/** A flag's value as a number. */
export function number(value: string): number {
  const parsed = value.trim() === "" ? Number.NaN : Number(value);
  if (Number.isNaN(parsed)) throw new InvalidArgumentError(`Expected a number, found "${value}".`);
  return parsed;
}

/** A comma-separated list. */
export function list(value: string): string[] {
  return value
    .split(",")
    .map((word) => word.trim())
    .filter(Boolean);
}

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
/** Milliseconds within which a signal is the same one again: npm passes on a terminal's, and a closed terminal sends several. */
const SAME_SIGNAL = 500;

/**
 * What ends a run early and lets it save: Ctrl-C, a closed terminal, a scheduler. From `begin`, when there is something to save,
 * the first signal aborts `signal` and the person at the keyboard gets `words`. Before, and from the second one on, the
 * system ends the process at once, whatever it is at.
 */
export class Interruption {
  private readonly abort = new AbortController();
  readonly signal = this.abort.signal;
  private isListening = false;

  constructor(private readonly words: string) {}

  begin(): void {
    if (this.isListening) return;
    this.isListening = true;
    for (const signal of SIGNALS) process.on(signal, this.interrupt);
  }

  end(): void {
    this.isListening = false;
    for (const signal of SIGNALS) process.off(signal, this.interrupt);
  }

  private readonly interrupt = () => {
    if (this.signal.aborted) return;
    console.error(`\n${this.words}`);
    this.abort.abort();
    setTimeout(() => this.end(), SAME_SIGNAL).unref();
  };
}

/** Lines of the standard input that are read before they are worked on together, and bytes of them. */
const LINES = 64;
const LINES_BYTES = 1 << 20;

const LINE_FEED = 10;

/** The lines of the standard input, some at a time. Throws DataError where one is longer than `LIMITS.line`. */
export async function* inputLines(input: AsyncIterable<Uint8Array> = process.stdin): AsyncGenerator<string[]> {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  let number = 1;
  let ready: string[] = [];
  let readyBytes = 0;
  // The line that has not ended yet, in pieces.
  let line: Uint8Array[] = [];
  let size = 0;
  const add = (piece: Uint8Array) => {
    size += piece.length;
    if (size > LIMITS.line)
      throw new DataError("a line is too long", {
        where: `standard input, line ${number}`,
        expected: `at most ${LIMITS.line} bytes`,
      });
    line.push(piece);
  };
  const end = () => {
    const text = decoder.decode(Buffer.concat(line)).replace(/\r$/, "");
    // A byte order mark is no part of a line.
    ready.push(number === 1 ? text.replace(/^\uFEFF/, "") : text);
    readyBytes += size;
    number++;
    line = [];
    size = 0;
  };
  for await (const chunk of input) {
    let start = 0;
    for (let stop = chunk.indexOf(LINE_FEED); stop >= 0; stop = chunk.indexOf(LINE_FEED, start)) {
      add(chunk.subarray(start, stop));
      end();
      start = stop + 1;
      if (ready.length < LINES && readyBytes < LINES_BYTES) continue;
      yield ready;
      ready = [];
      readyBytes = 0;
    }
    add(chunk.subarray(start));
  }
  if (size > 0) end();
  if (ready.length > 0) yield ready;
}

/**
 * Runs a command, whose work is what it prints or what it `leaves` on the disk. Exit codes: 0 done, 1 the work failed, 2 the
 * command line or a setting makes no sense. Errors of our own are printed as they are, others with their stack: those
 * are bugs.
 */
export async function main(work: () => Promise<number>, leaves: "output" | "files" = "output"): Promise<void> {
  let unprinted = 0;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // A closed pipe (head, less) is one that has had enough.
    if (error.code !== "EPIPE" && unprinted === 0) {
      console.error(`cannot write the output: ${error.message}`);
      unprinted = 1;
    }
    if (leaves === "output") process.exit(unprinted);
  });
  process.stderr.on("error", () => {});
  try {
    process.exitCode = (await work()) || unprinted;
  } catch (error) {
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    const known = error instanceof LowrankError;
    console.error(known ? `${error.name}: ${error.message}` : error);
    process.exitCode = error instanceof ConfigError ? 2 : 1;
  }
}
