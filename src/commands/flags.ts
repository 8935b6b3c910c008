/** The flags shared by train and sweep: one for each setting of a run. */
import { type Command, Option } from "commander";
import { TARGETS } from "../config.ts";
import type { Padding } from "../data/dataset.ts";
import { SPLITS } from "../data/split.ts";
import { joinWords } from "../format.ts";
import { type MethodOptions, MODES, settingWords } from "../methods/index.ts";
import { type Files, readSetting } from "../run/settings.ts";
import { OBJECTIVES } from "../tasks/index.ts";
import {
  defaultRate,
  type Known,
  LARGE,
  SETTING_NAMES,
  SETTINGS,
  type Setting,
  type TrainOptions,
} from "../train/options.ts";
import { choice, number } from "./cli.ts";

/** Adds a flag for each setting: model, data, data preparation and training. */
export function addSettings(program: Command): Command {
  program
    .option(
      "--data <file>",
      "CSV (with commas, semicolons or tabs), JSON lines, a JSON array or Parquet; rows are split 70/10/20",
      files,
    )
    .option(
      "--dataset <name>",
      "spam (bundled mails and short messages) or languages (bundled), or sms, the published experiment's data (downloaded once); " +
        "with --objective lm human-rights (bundled); or a data set of the Hugging Face Hub, owner/name[:configuration], such as stanfordnlp/imdb, fancyzhx/ag_news or ucirvine/sms_spam",
    )
    .option(
      "--model <name>",
      "base model: a directory, a GGUF file or its address, smollm2-cut (bundled: the lower layers of SmolLM2-135M, 35 million parameters, 23 MB), " +
        "gpt2-micro (bundled: 7 million, 15 MB), gpt2, gpt2-medium, ..., distilgpt2, smollm2-135m, or owner/name on the Hugging Face Hub " +
        "(default: smollm2-cut; of language models and sweeps gpt2-micro)",
    )
    .addOption(
      choice(
        "--objective <o>",
        "what is learned: one class a message; a score (labels are numbers); any number of labels a message (a|b, or none); or texts",
        OBJECTIVES,
      ).default(undefined, "classification"),
    )
    .option("--train <file>", "training set; requires --val and --test", files)
    .option("--val <file>", "validation set", files)
    .option("--test <file>", "test set", files)
    .addOption(
      choice(
        "--split <how>",
        "how --data or --dataset is split, or how a validation set that the hub's data lacks is taken from the training set",
        SPLITS,
      ).default(
        undefined,
        "experiment for sms, ordered for languages, else stratified: each class separately; random without one class a message",
      ),
    )
    .option(
      "--balance",
      "drop rows of the larger classes, as the published experiment (default: only for --dataset sms)",
    )
    .option("--no-balance", "keep all rows of --dataset sms")
    .option("--dedupe", "drop rows that are near-duplicates of an earlier row, before splitting")
    .option(
      "--train-rows <n>",
      "learn from about n rows, each class in proportion, and validate on as many fewer; the test set stays (default: all; without data of your own 100)",
      number,
    )
    .option(
      "--text-column <name>",
      "text column; of pairs of texts, whose relation is classified, both: FIRST,SECOND (default: detected)",
    )
    .option("--label-column <name>", "label column (default: detected)")
    .option("--label-separator <s>", 'what is between several labels in a cell, such as "," (default: "|")')
    .option(
      "--encoding <name>",
      "encoding of files that are not UTF-8, such as windows-1252; UTF-16 is recognized by its byte order mark",
    )
    .option("--skip-faulty", "skip invalid rows and report them")
    .option(
      "--max-length <n>",
      "maximum message length in tokens; longer messages are truncated (default: the model's context, at most 1024)",
      number,
    )
    .option("--stride <n>", "lm: tokens between the starts of two blocks (default: --max-length)", number)
    .option(
      "--padding <n>",
      "pad rows to n tokens or to the longest, as the published experiment does, or pack them: none (default)",
      padding,
    );
  for (const name of SETTING_NAMES) program.addOption(createFlag(name));
  return program;
}

/** The groups of --help after which a flag may be listed, in this order; a flag is in the first that has its name. */
const GROUPS: [heading: string, names: readonly string[]][] = [
  ["Most used:", ["data", "dataset", "model", "objective", "mode", "rank", "epochs", "lr", "out", "resume"]],
  ["Memory and device:", ["dtype", "recompute", "plan", "device", "threads"]],
  ["Method:", SETTING_NAMES.filter((name) => SETTINGS[name].modes)],
  ["Training:", SETTING_NAMES],
  ["Run:", ["seeds", "adapter", "force", "checkpointEvery", "preset", "json"]],
];

/** Groups the flags of train for --help; those of data have no other group. */
export function groupFlags(program: Command): void {
  for (const option of program.options) {
    const name = option.attributeName();
    const [heading] = GROUPS.find(([, names]) => names.includes(name)) ?? ["Data:"];
    if (name !== "version") option.helpGroup(heading);
  }
}

/** The text of each flag in --help; those of the methods' settings are with the methods. */
const HELP: Readonly<Record<Exclude<keyof TrainOptions, keyof MethodOptions>, string>> = {
  mode: "which parameters are trained",
  pooling:
    "what a message is classified by: the mean of its tokens' outputs, that of its last token, as transformers does, or that of the last position with padding",
  headBias: "train the head without a bias, as PEFT and transformers do",
  headInit: "initial weights of the head: zeros, N(0, .02^2) as in transformers, or U(+-1/sqrt(C)) as in PyTorch",
  classWeights:
    "auto: weight the loss by 1 / sqrt(rows of the class) if the largest class has over 1.5 times the rows of the smallest",
  dtype:
    "data type of the frozen weights: f16 takes half the memory, q8 a quarter, q4 (NF4) an eighth; auto: the widest that fits. Not for --mode all",
  recompute:
    "recompute activations in the backward pass: less memory, the same result, up to a third slower; auto: if memory is too small otherwise",
  epochs: "passes over the training set; of few rows as many as make 150 steps, unless this is given",
  batchSize: "messages per batch; of fewer rows all, unless this is given",
  batching: "which messages share a batch: any, or those of similar length",
  accumulate: "batches per step (gradient accumulation)",
  lr: `peak learning rate (default: ${listRates({})}; with ${LARGE / 1e6} million parameters or more ${listRates({ parameters: LARGE })})`,
  schedule: "learning rate schedule after the warm-up",
  warmup: "warm-up steps; below 1, a fraction of all steps",
  weightDecay: "AdamW's decoupled weight decay",
  clip: "maximum global gradient norm; 0: no clipping",
  evalEvery: "steps between evaluations; 0: twice per epoch, or 10 times where few rows have more epochs",
  patience: "stop after n evaluations in a row without a lower validation loss; 0: never",
  keep: "what is saved: the evaluation with the lowest validation loss, or the last",
  seed: "random seed of the split, the batch order and the initialization",
  calibrate:
    "divide the logits by the temperature that has the lowest loss on the validation set; classify does so too",
  threshold:
    "of two classes, predict --positive from the probability that has the highest f1 on the validation set, or precision=P " +
    "(as much recall as possible with it) or recall=R (as much precision); of several labels, each by itself; classify does so too",
  positive:
    "of two classes, the one that --threshold is for, and areas under curves (default: the rarer in the training set)",
};

/** What methods' settings follow from, where they are not given. */
const FOLLOWS: { readonly [name in keyof TrainOptions]?: string } = {
  layers: ` (default: all; of a Llama with fewer than ${LARGE / 1e6} million parameters the upper third)`,
};

/** The modes of each default learning rate. */
function listRates(known: Known): string {
  const rates = [...new Set(MODES.map((mode) => defaultRate(mode, known)))].sort((a, b) => a - b);
  return rates
    .map((rate) => `${joinWords(MODES.filter((mode) => defaultRate(mode, known) === rate))} ${rate}`)
    .join(", ");
}

function createFlag(name: keyof TrainOptions): Option {
  const { default: value, choices, number: range } = SETTINGS[name] as Setting<unknown>;
  const help =
    name in HELP
      ? HELP[name as keyof typeof HELP]
      : settingWords()[name as keyof MethodOptions].flag + (FOLLOWS[name] ?? "");
  const flag = `--${name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
  // A setting that is true by default gets a flag that turns it off.
  if (value === true) return new Option(flag.replace("--", "--no-"), help);
  if (value === false) return new Option(flag, help);
  const word = name === "positive" ? "<class>" : range ? "<n>" : typeof value === "string" ? "<how>" : "<list>";
  const option = choices
    ? choice(`${flag} <how>`, help, choices as readonly string[])
    : new Option(`${flag} ${word}`, help).argParser(range ? number : (text) => readSetting(name, text));
  // Their defaults follow from what is trained, and are in the text.
  if (name === "lr" || name === "positive" || name === "layers") return option;
  // Only shown: what is not given follows from the objective and the mode.
  return option.default(undefined, value === null || value === TARGETS ? "all" : `${value}`);
}

function files(value: string, before?: Files): Files {
  return before === undefined ? value : [before, value].flat();
}

function padding(value: string): Padding {
  return value === "none" || value === "longest" ? value : number(value);
}
