/** The settings that train and sweep share: flags, presets, and what they say of data and training. */
import type { Command } from "commander";
import { choice, list, number } from "./cli.ts";
import {
  INITS,
  MODES,
  type Objective,
  POOLINGS,
  parseLayers,
  SCALINGS,
  TARGETS,
  type Target,
  WEIGHT_DTYPES,
} from "./config.ts";
import type { Padding } from "./data/dataset.ts";
import type { DatasetOptions, DatasetSpec } from "./data/datasets.ts";
import { BATCHINGS } from "./data/loader.ts";
import { SPLITS, type Split } from "./data/split.ts";
import type { TextsOptions, TextsSpec } from "./data/texts.ts";
import { ConfigError } from "./errors.ts";
import { DEFAULTS, PAPER, resolveOptions, type TrainOptions } from "./train/options.ts";
import { SCHEDULES } from "./train/schedule.ts";

/** Everything that a flag can set; what is left out comes from the preset, then from the defaults. */
export interface Settings extends Partial<TrainOptions> {
  objective?: Objective;
  model?: string;
  data?: Files;
  train?: Files;
  val?: Files;
  test?: Files;
  dataset?: string;
  textColumn?: string;
  labelColumn?: string;
  split?: Split;
  balance?: boolean;
  dedupe?: boolean;
  padding?: Padding;
  maxLength?: number;
  stride?: number;
}

/** A flag's file; several where it was given several. */
type Files = string | readonly string[];

function files(value: string, before?: Files): Files {
  return before === undefined ? value : [before, value].flat();
}

export const PRESETS = {
  quickstart: { model: "gpt2-micro", dataset: "spam-assassin" },
  paper: { ...PAPER, model: "gpt2", dataset: "sms", padding: "longest" },
} as const satisfies Record<string, Settings>;

function padding(value: string): Padding {
  return value === "none" || value === "longest" ? value : number(value);
}

function targets(value: string): Target[] {
  // Checked with the other LoRA settings, where the nearest name is suggested.
  return value === "all" ? [...TARGETS] : (list(value) as Target[]);
}

/** Adds a flag for every setting. */
export function addSettings(program: Command): Command {
  return program
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
    .addOption(choice("--mode <mode>", "what learns (default: lora)", MODES))
    .option("--rank <r>", "LoRA rank (default: 8)", number)
    .option("--alpha <a>", "LoRA alpha (default: 16)", number)
    .addOption(choice("--scaling <s>", "factor of the adapters (default: alpha/r)", SCALINGS))
    .addOption(choice("--init <i>", "how A begins; B begins at 0 (default: kaiming)", INITS))
    .option(
      "--targets <list>",
      `matrices with an adapter, of ${TARGETS.join(",")}; c_attn: one for q,k,v (default: all)`,
      targets,
    )
    .option("--layers <list>", "blocks with adapters, such as 0,5-8 (default: all)", (value) =>
      parseLayers(list(value)),
    )
    .addOption(choice("--pooling <p>", "where a message is classified (default: last-token)", POOLINGS))
    .option("--no-head-bias", "train the head without a bias, as PEFT and transformers know it")
    .addOption(
      choice(
        "--dtype <type>",
        "what frozen weights are kept in: f16 halves their memory; mode all has none (default: f32)",
        WEIGHT_DTYPES,
      ),
    )
    .option("--padding <none|longest|N>", "pad rows as the paper does, or pack them (default: none)", padding)
    .option("--max-length <n>", "longest message in tokens; longer ones are cut (default: the model's context)", number)
    .option("--epochs <n>", "passes over the training set (default: 3)", number)
    .option("--batch-size <n>", "messages a batch (default: 8)", number)
    .addOption(choice("--batching <b>", "messages of any or of like length in a batch (default: random)", BATCHINGS))
    .option("--accumulate <n>", "batches a step (default: 1)", number)
    .option("--lr <rate>", "peak learning rate (default: 1e-3)", number)
    .addOption(choice("--schedule <s>", "learning rate after the warm-up (default: linear)", SCHEDULES))
    .option("--warmup <n>", "warm-up in steps, or as a share of the run below 1 (default: 0.05)", number)
    .option("--weight-decay <x>", "AdamW's decoupled weight decay (default: 0.1)", number)
    .option("--clip <x>", "largest global gradient norm; 0: no clipping (default: 0)", number)
    .option("--eval-every <n>", "steps between evaluations; 0: twice an epoch (default: 0)", number)
    .option("--seed <n>", "seed of split, order and initial values (default: 1)", number);
}

/** Flags over the preset; a source of data on the command line replaces the preset's. */
export function settingsOf(flags: Settings, preset: Settings): Settings {
  const { headBias, balance, ...given } = flags;
  const settings: Settings = { ...preset, ...given };
  // Commander sets true where --no-head-bias or --no-balance is absent: that is no wish.
  if (headBias === false) settings.headBias = false;
  if (balance === false) settings.balance = false;
  const hasFiles = [given.data, given.train, given.val, given.test].some((file) => file !== undefined);
  if ((hasFiles || given.objective === "lm") && given.dataset === undefined) delete settings.dataset;
  return settings;
}

/** Where messages come from. */
export function datasetSpec(settings: Settings): DatasetSpec {
  const { dataset, stride } = settings;
  if (stride !== undefined) throw new ConfigError("--stride is for texts", { expected: "--objective lm beside it" });
  const sources = sourcesOf(settings, "--data FILE, --dataset NAME");
  if (dataset !== undefined) return { name: dataset };
  const one = (flag: keyof typeof sources) => {
    const [file, ...more] = sources[flag]!;
    if (more.length === 0) return file!;
    throw new ConfigError(`--${flag} takes one file of messages`, { found: sources[flag]!.join(", ") });
  };
  if (sources.data) return { file: one("data") };
  return { train: one("train"), val: one("val"), test: one("test") };
}

/** The flags that tell together where the data is. */
const SOURCES = ["data", "dataset", "train,val,test"];

/** What each flag of a source names. Throws ConfigError, naming the `single` flags of which one will do, unless it is one source. */
function sourcesOf({ data, train, val, test, dataset }: Settings, single: string) {
  const given = Object.entries({ data, train, val, test, dataset }).filter(([, named]) => named !== undefined);
  const flags = given.map(([flag]) => flag);
  if (!SOURCES.includes(flags.join()))
    throw new ConfigError("it is not clear what to train on", {
      expected: `one of ${single}, or all of --train, --val and --test`,
      found: flags.map((flag) => `--${flag}`).join(", ") || "none of them",
    });
  const named = given.map(([flag, some]) => [flag, [some!].flat()]);
  return Object.fromEntries(named) as Partial<Record<"data" | "train" | "val" | "test", string[]>>;
}

/** Where texts for a language model come from. Throws ConfigError for settings that only messages have. */
export function textsSpec(settings: Settings): TextsSpec {
  const { labelColumn, split, balance, dedupe, padding, dataset } = settings;
  const refused = Object.entries({ labelColumn, split, balance, dedupe, padding, dataset }).filter(
    ([, value]) => value !== undefined,
  );
  if (refused.length > 0)
    throw new ConfigError("texts for a language model have no such settings", {
      expected: "files, maxLength, stride, textColumn",
      found: refused.map(([key]) => key).join(", "),
    });
  const { data, train, val, test } = sourcesOf(settings, "--data FILE");
  return data ? { file: data } : { train: train!, val: val!, test: test! };
}

/** How texts are read. */
export function textsOptions(settings: Settings, seed: number, context: number): TextsOptions {
  const { textColumn, maxLength = context, stride } = settings;
  checkContext("blocks", maxLength, context);
  return {
    seed,
    maxLength,
    ...(textColumn === undefined ? {} : { textColumn }),
    ...(stride === undefined ? {} : { stride }),
  };
}

/** How messages are read. */
export function datasetOptions(settings: Settings, seed: number, context: number): DatasetOptions {
  const { textColumn, labelColumn, split, balance, dedupe, maxLength = context, padding = "none" } = settings;
  checkContext("messages", Math.max(maxLength, typeof padding === "number" ? padding : 0), context);
  return {
    seed,
    maxLength,
    padding,
    ...(textColumn === undefined ? {} : { textColumn }),
    ...(labelColumn === undefined ? {} : { labelColumn }),
    ...(split === undefined ? {} : { split }),
    ...(balance === undefined ? {} : { balance }),
    ...(dedupe === undefined ? {} : { dedupe }),
  };
}

function checkContext(what: string, longest: number, context: number): void {
  if (longest > context)
    throw new ConfigError(`${what} would be longer than the model's context`, {
      expected: `at most ${context} tokens`,
      found: `${longest}`,
    });
}

/** The training options among the settings. */
export function trainOptions(settings: Settings): TrainOptions {
  const options = Object.fromEntries(Object.entries(settings).filter(([key]) => Object.hasOwn(DEFAULTS, key)));
  return resolveOptions(options, settings.objective);
}
