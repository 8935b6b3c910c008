/** The flags that train and sweep share: one for every setting of a run. */
import { type Command, Option } from "commander";
import { parseLayers, TARGETS, type Target } from "../config.ts";
import type { Padding } from "../data/dataset.ts";
import { SPLITS } from "../data/split.ts";
import type { Files } from "../run/settings.ts";
import { SETTING_NAMES, SETTINGS, type Setting, type TrainOptions } from "../train/options.ts";
import { choice, list, number } from "./cli.ts";

/** Settings whose flags are neither a word, a number nor a switch. */
const PARSERS: Partial<Record<keyof TrainOptions, (value: string) => unknown>> = {
  // Checked with the other LoRA settings, where the nearest name is suggested.
  targets: (value): Target[] => (value === "all" ? [...TARGETS] : (list(value) as Target[])),
  layers: (value) => parseLayers(list(value)),
};

/** Adds a flag for every setting: where the data is, how it is read, and how the model is trained. */
export function addSettings(program: Command): Command {
  program
    .option(
      "--model <dir|name>",
      "a GPT-2: a directory, gpt2-micro (bundled), gpt2, gpt2-medium, ..., distilgpt2 or owner/name of the Hugging Face hub",
    )
    .option("--data <file>", "CSV, TSV or JSON lines to balance and split 70/10/20", files)
    .option("--train <file>", "training set, with --val and --test: as they are, not balanced", files)
    .option("--val <file>", "validation set", files)
    .option("--test <file>", "test set", files)
    .option("--dataset <name>", "spam-assassin (bundled), or sms, the experiment's data (fetched at first use)")
    .addOption(choice("--split <how>", "of --data or --dataset (default: experiment for sms, else random)", SPLITS))
    .option("--no-balance", "keep all rows of the larger classes of --data or --dataset")
    .option("--dedupe", "drop rows that are near copies of one before them, before splitting")
    .option("--text-column <name>", "column of the text; guessed where left out")
    .option("--label-column <name>", "column of the label; guessed where left out")
    .option("--max-length <n>", "longest message in tokens; longer ones are cut (default: the model's context)", number)
    .option("--padding <none|longest|N>", "pad rows as the paper does, or pack them (default: none)", padding);
  for (const name of SETTING_NAMES) program.addOption(flagOf(name));
  return program;
}

function flagOf(name: keyof TrainOptions): Option {
  const { default: value, help, value: placeholder, choices } = SETTINGS[name] as Setting<unknown>;
  const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  // A switch turns off what is on.
  if (value === true) return new Option(flag.replace("--", "--no-"), help);
  const described = `${help} (default: ${value === null || value === TARGETS ? "all" : value})`;
  if (choices) return choice(`${flag} <${name}>`, described, choices as readonly string[]);
  return new Option(`${flag} ${placeholder}`, described).argParser(PARSERS[name] ?? number);
}

function files(value: string, before?: Files): Files {
  return before === undefined ? value : [before, value].flat();
}

function padding(value: string): Padding {
  return value === "none" || value === "longest" ? value : number(value);
}
