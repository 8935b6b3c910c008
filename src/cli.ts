/** What the commands share: options through commander, errors as a person reads them, exit codes. */
import { Command, CommanderError, InvalidArgumentError, Option } from "commander";
import manifest from "../package.json" with { type: "json" };
import { DEVICES, WEIGHT_DTYPES } from "./config.ts";
import { ConfigError, LowrankError } from "./errors.ts";

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

/** Lines of the standard input that are read before they are worked on together. */
const LINES = 64;

/** The lines of the standard input, some at a time. */
export async function* inputLines(): AsyncGenerator<string[]> {
  let rest = "";
  let ready: string[] = [];
  process.stdin.setEncoding("utf8");
  for await (const chunk of process.stdin) {
    const parts = (rest + chunk).split("\n");
    rest = parts.pop()!;
    ready.push(...parts.map((line) => line.replace(/\r$/, "")));
    while (ready.length >= LINES) {
      yield ready.slice(0, LINES);
      ready = ready.slice(LINES);
    }
  }
  if (rest !== "") ready.push(rest);
  if (ready.length > 0) yield ready;
}

/**
 * Runs a command. Exit codes: 0 done, 1 the work failed, 2 the command line or a setting makes no sense. Errors of our own
 * are printed as they are, others with their stack: those are bugs.
 */
export async function main(work: () => Promise<number>): Promise<void> {
  // A closed pipe (head, less) ends the command in silence.
  process.stdout.on("error", () => process.exit(0));
  try {
    process.exitCode = await work();
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
