/** Shared by the commands: option parsing with commander, error output, exit codes. */

import { Command, CommanderError, Help, InvalidArgumentError, Option } from "commander";
import { restoreDirectory } from "#platform";
import { version } from "../../package.json";
import { type FoundGPU, listGPUs } from "../backend/adapters.ts";
import { DEVICES, type DeviceName, parseDevice } from "../backend/device.ts";
import { openWasm } from "../backend/wasm.ts";
import { readNumber } from "../core/checks.ts";
import { ConfigError, DataError, DeviceError, LowrankError } from "../core/errors.ts";
import { joinWords } from "../core/format.ts";
import { printable } from "../core/printable.ts";
import { setting } from "../core/setting.ts";
import { nameSettings } from "../core/surface.ts";
import { WEIGHT_DTYPES } from "../core/tensor.ts";
import type { Problem } from "../data/problems.ts";
import { LIMITS } from "../io/limits.ts";
import { asFlag, terminalMessage } from "../views/terminal/flag-words.ts";
import { endBar } from "../views/terminal/live-bar.ts";
import { renderTable } from "../views/terminal/render.ts";
import { terminalWidth } from "../views/terminal/width.ts";
import { calledAs } from "./called.ts";

/** A command with its description and the arguments of its examples. Unknown flags are errors with a suggestion. */
export function command(name: string, description: string, examples: readonly string[]): Command {
  const called = calledAs(name);
  return new Command(called)
    .description(description)
    .version(version)
    .showHelpAfterError("(use --help to list the flags)")
    .addHelpText("after", ["\nExamples:", ...examples.map((example) => onLines(`  ${called} ${example}`))].join("\n"))
    .configureHelp({ optionDescription: describeOption, groupItems })
    .addHelpText("after", ({ command }) =>
      command.options.some(isLeftOut)
        ? `\nAll ${listsSettings(command) ? "settings" : "flags"}: ${called} --help ${listsSettings(command) ? "settings" : "all"}`
        : "",
    )
    .exitOverride();
}

/** "compute device (auto, webgpu, wasm; default: auto)"; of a flag in short what its text says before a semicolon. */
function describeOption(option: Option): string {
  const { argChoices, defaultValue, defaultValueDescription } = option;
  const description = isMain.has(option) && !listsAll() ? option.description.split("; ")[0]! : option.description;
  const fallback = defaultValueDescription ?? defaultValue;
  const more = [argChoices?.join(", ") ?? [], fallback === undefined ? [] : `default: ${fallback}`].flat().join("; ");
  return more ? `${description} (${more})` : description;
}

/**
 * Whether a flag is one of those that --help lists, in short, where `--help settings` lists all, or `--help all` of a
 * command that trains nothing. Flags that commander hides would not be suggested for misspelt ones.
 */
const isMain = new WeakMap<Option, boolean>();
const listsAll = () => ["settings", "all"].some((word) => process.argv.includes(word));
const listsSettings = ({ options }: Command) => options.some(({ long }) => long === "--set");

/** Says which of the flags that a command has so far --help lists. */
export function listMain(program: Command, main: readonly string[]): Command {
  for (const option of program.options)
    if (option.attributeName() !== "version") isMain.set(option, main.includes(option.attributeName()));
  return program;
}
const isLeftOut = (option: Option) => isMain.get(option) === false && !listsAll();

/** The heading of flags without a group. */
const UNGROUPED = "Options:";
/** Groups come before flags without a group: --help and --version. */
const groupItems: Help["groupItems"] = (items, visible, getGroup) => {
  const groups = new Help().groupItems(
    items,
    visible.filter((item) => !isLeftOut(item as never)),
    getGroup,
  );
  const rest = groups.get(UNGROUPED);
  if (rest && groups.delete(UNGROUPED)) groups.set(UNGROUPED, rest);
  return groups;
};

/** A command line, continued on further lines where it is wider than the terminal. */
function onLines(line: string): string {
  const width = terminalWidth(process.stdout) ?? 80;
  const lines: string[] = [];
  for (const part of line.trimEnd().split(/ (?=--)/)) {
    const last = lines.at(-1);
    if (last !== undefined && `${last} ${part} \\`.length <= width) lines.push(`${lines.pop()} ${part}`);
    else lines.push(lines.length === 0 ? part : `      ${part}`);
  }
  return lines.join(" \\\n");
}

/** Prints to stdout with control characters escaped: names from outside could otherwise control the terminal. */
export function print(text: string): void {
  console.log(printable(text));
}

/** As `print`, to stderr, below the bar. */
export function printNote(text: string): void {
  endBar();
  console.error(printable(text));
}

/** Says with which settings data was read that were not given, and why. */
export function printRead({ text, settings }: Pick<Problem, "text" | "settings">): void {
  const flags = Object.entries(settings).map(([name, value]) => setting(name, value));
  printNote(nameSettings(`read with ${joinWords(flags)}: ${text}`, asFlag));
}

export function choice(flags: string, description: string, words: readonly string[]): Option {
  return new Option(flags, description).choices(words);
}

/** Thrown for `--device list`: instead of the command's work `main` prints the devices. */
class ListDevices extends Error {}

export interface DeviceFlags {
  device: DeviceName;
  threads?: number;
}

export function deviceFlag(
  description = "compute device; auto: a hardware GPU if there is one and it is faster, else wasm",
): Option {
  const words = [...DEVICES, "webgpu:INDEX or webgpu:NAME of several GPUs", "list: prints them and exits"];
  return choice("--device <name>", description, words)
    .argParser((name) => {
      if (name === "list") throw new ListDevices();
      return parseDevice(name);
    })
    .default("auto");
}

export function threadsFlag(): Option {
  return new Option("--threads <n>", "threads of the wasm device (default: one per core)").argParser(number);
}

export function dtypeFlag(usual = "as in training"): Option {
  const description = `data type of the frozen weights (default: ${usual}); no weights are frozen after full fine-tuning`;
  return choice("--dtype <type>", description, WEIGHT_DTYPES);
}

export function number(value: string): number {
  const parsed = readNumber(value);
  if (parsed === undefined) throw new InvalidArgumentError(`Expected a number, found "${value}".`);
  return parsed;
}

/** The values of a flag that is repeated. One that took several at a time would take the arguments behind them, too. */
export function gather(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

const SIGNALS: readonly NodeJS.Signals[] = ["SIGINT", "SIGTERM", "SIGHUP"];
/** Signals within this many milliseconds count as one: npm forwards the terminal's, a closed terminal sends several. */
const SAME_SIGNAL = 500;

/**
 * Ends a run early and lets it save: on Ctrl-C, a closed terminal, or a scheduler's signal. After `begin`, which is
 * called once there is something to save, the first signal aborts `signal` and prints `words`. Before `begin`, and from
 * the second signal on, the system ends the process immediately.
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
    printNote(this.words);
    this.abort.abort();
    setTimeout(() => this.end(), SAME_SIGNAL).unref();
  };
}

/** The most lines of standard input that are yielded together. */
const LINES = 64;

/** Yields the lines of standard input in groups. Throws DataError if a line is longer than `LIMITS.line`. */
export async function* inputLines(input: AsyncIterable<Uint8Array> = process.stdin): AsyncGenerator<string[]> {
  // Drops a byte order mark.
  const decoder = new TextDecoder();
  let rest = "";
  let number = 1;
  const check = (line: string) => {
    if (line.length > LIMITS.line)
      throw new DataError("exceeds-limit", "the line is too long", {
        where: `standard input, line ${number}`,
        expected: `at most ${LIMITS.line} characters`,
      });
  };
  const end = (line: string) => {
    check(line);
    number++;
    return line.replace(/\r$/, "");
  };
  for await (const chunk of input) {
    const lines = decoder.decode(chunk, { stream: true }).split("\n");
    lines[0] = rest + lines[0];
    rest = lines.pop()!;
    for (let at = 0; at < lines.length; at += LINES) yield lines.slice(at, at + LINES).map(end);
    check(rest);
  }
  rest += decoder.decode();
  if (rest !== "") yield [end(rest)];
}

/**
 * Runs a command. `leaves` is its result: what it prints, or files. Exit codes: 0 success, 1 failure, 2 invalid command
 * line or setting. A LowrankError is printed as its message; any other error is a bug and is printed with its stack.
 */
export async function main(work: () => Promise<number>, leaves: "output" | "files" = "output"): Promise<void> {
  let unprinted = 0;
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    // EPIPE: the reader (head, less) has closed the pipe, which is not an error.
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
    if (error instanceof ListDevices) return print(await deviceList());
    endBar();
    const known = error instanceof LowrankError;
    console.error(known ? `${error.name}: ${terminalMessage(error)}` : error);
    process.exitCode = error instanceof ConfigError ? 2 : 1;
  }
}

/** After a kill at the moment in which a directory was replaced: the old one is there again, which is reported. */
export async function settle(directory: string): Promise<void> {
  if (await restoreDirectory(directory))
    printNote(`${directory} is the old one again: the command that was replacing it was killed`);
}

/** For a flag of other programs, suggests ours. */
export function suggestFlag(program: Command, flag: string, meant: string): Command {
  const refuse = () => program.error(`error: unknown option '${flag}'\n(Did you mean ${meant}?)`);
  return program.addOption(new Option(flag).hideHelp()).on(`option:${flag.slice(2)}`, refuse);
}

interface DeviceRow {
  device: string;
  name: string;
  backend?: string;
  kind: string;
}

/** A table, and below it why there is no GPU. */
async function deviceList(): Promise<string> {
  const why: string[] = [];
  const gpus = await listGPUs().catch((error): FoundGPU[] => {
    if (!(error instanceof DeviceError)) throw error;
    why.push(`no GPU: ${terminalMessage(error)}`);
    return [];
  });
  const cpu = await openWasm();
  const rows: DeviceRow[] = [
    ...gpus.map(({ name, backend, adapter, isSoftware }, i) => ({
      device: `webgpu:${i}`,
      name,
      backend,
      kind: adapter === null ? "cannot be opened" : isSoftware ? "software driver" : "hardware",
    })),
    { device: "wasm", name: cpu.info.name, kind: "" },
  ];
  cpu.destroy();
  const table = renderTable<DeviceRow>(
    [
      { title: "--device", value: ({ device }) => device },
      { title: "name", value: ({ name }) => name },
      { title: "backend", value: ({ backend }) => backend },
      { title: "", value: ({ kind }) => kind },
    ],
    rows,
  );
  return [table, ...why].join("\n");
}
