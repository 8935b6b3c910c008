/**
 * What people read of each setting: in --help, and at its field in the page. It is loaded only by what shows it; those of
 * the methods' settings are with the methods.
 */
import { joinWords } from "../format.ts";
import { GUIDES, type MethodOptions, MODES, settingWords } from "../methods/index.ts";
import type { SettingWords } from "../methods/method.ts";
import { DEFAULT_OBJECTIVE } from "../tasks/index.ts";
import { defaultRate, type Known, LARGE } from "./options.ts";
import type { RunSettings } from "./settings.ts";

export interface Words extends Omit<SettingWords, "label" | "why"> {
  /** What its flag takes, unless that is a number or a choice. */
  argument?: string;
  /** The default in --help, where it is not that of the table; null: the text has it. */
  usual?: string | null;
  /** What the page calls it; absent: the page does not have it. */
  label?: string;
  /** What it is, and when to change it, at its field; absent: it has none. */
  why?: string;
  /** The choices of its field, by their values, or what they are called. */
  choices?: Readonly<Record<string, string>>;
}

/** What the published experiment alone has: `--set` reaches it. */
type Unshown = "balance" | "padding" | "headInit";

const WORDS: Readonly<Record<Exclude<keyof RunSettings, keyof MethodOptions | Unshown>, Words>> = {
  data: {
    flag: "CSV (with commas, semicolons or tabs), JSON lines, a JSON array or Parquet; rows are split 70/10/20",
    argument: "<file>",
    label: "Own file",
  },
  dataset: {
    flag:
      "spam (bundled mails and short messages) or languages (bundled), or sms, the published experiment's data (downloaded once); " +
      "with --objective lm human-rights (bundled); or a data set of the Hugging Face Hub, owner/name[:configuration], such as stanfordnlp/imdb, fancyzhx/ag_news or ucirvine/sms_spam",
    argument: "<name>",
    label: "Data set",
  },
  train: { flag: "training set; requires --val and --test", argument: "<file>" },
  val: { flag: "validation set", argument: "<file>" },
  test: { flag: "test set", argument: "<file>" },
  split: {
    flag: "how --data or --dataset is split, or how a validation set that the hub's data lacks is taken from the training set",
    usual:
      "that of the published experiment for sms, ordered for languages, else stratified: each class separately; random without one class a message",
    label: "Data split",
    why: "How the data is divided into what is trained on, what is checked during training, and what is tested at the end. Stratified keeps each class's share in all three.",
    choices: { default: "default", random: "random", stratified: "stratified", ordered: "ordered" },
  },
  dedupe: {
    flag: "drop rows that are near-duplicates of an earlier row, before splitting",
    label: "Deduplicate",
    why: "Drops near-copies of earlier rows. Copies in both the training and the test set make the accuracy look better than it is.",
  },
  trainRows: {
    flag:
      "learn from about n rows, each class in proportion, and validate on as many fewer; the test set stays (default: all; " +
      "without data of your own 100)",
  },
  textColumn: {
    flag: "text column; of pairs of texts, whose relation is classified, both: FIRST,SECOND (default: detected)",
    argument: "<name>",
    label: "Text column",
  },
  labelColumn: { flag: "label column (default: detected)", argument: "<name>", label: "Label column" },
  labelSeparator: {
    flag: 'what is between several labels in a cell, such as "," (default: "|")',
    argument: "<s>",
    label: "Between labels",
    why: "What is between several labels in a cell of the table.",
    choices: { "|": "|", ",": "comma", ";": "semicolon" },
  },
  encoding: {
    flag: "encoding of files that are not UTF-8, such as windows-1252; UTF-16 is recognized by its byte order mark",
    argument: "<name>",
    label: "Encoding",
  },
  skipFaulty: { flag: "skip invalid rows and report them" },
  maxLength: {
    flag: "maximum message length in tokens; longer messages are truncated (default: the model's context, at most 1024)",
    label: "Maximum length",
    help: "Tokens; 0: context, at most 1024",
    why: "Longer messages are cut to this many tokens, and texts are cut into blocks of this many. Shorter ones train faster; 0 means the model's context, at most 1024.",
  },
  stride: { flag: "lm: tokens between the starts of two blocks (default: --max-length)" },
  model: {
    flag:
      "base model: a directory, a GGUF file or its address, smollm2-cut (bundled: the lower layers of SmolLM2-135M, 35 million parameters, 23 MB), " +
      "gpt2-micro (bundled: 7 million, 15 MB), gpt2, gpt2-medium, ..., distilgpt2, smollm2-135m, or owner/name on the Hugging Face Hub " +
      "(default: smollm2-cut; of language models and sweeps gpt2-micro)",
    argument: "<name>",
    label: "Base model",
  },
  objective: {
    flag: "what is learned: one class a message; a score (labels are numbers); any number of labels a message (a|b, or none); or texts",
    usual: DEFAULT_OBJECTIVE,
    label: "Labels",
    choices: { regression: "numbers", "multi-label": "several a message" },
  },
  adapter: {
    flag: "continue from an adapter: a run's, or PEFT's (SEQ_CLS, or CAUSAL_LM with --objective lm)",
    argument: "<dir>",
    label: "Start from",
  },
  mode: {
    flag: "which parameters are trained",
    label: "Method",
    isMain: true,
    why: "Which parameters are trained; all others stay as they are. LoRA adds two thin matrices to each large one and trains them, full fine-tuning changes everything.",
  },
  epochs: {
    flag: "passes over the training set; of few rows as many as make 150 steps, unless this is given",
    label: "Epochs",
    isMain: true,
    why: "How often each example is seen. More epochs take longer, and after some the model learns the examples by heart: the validation loss rises.",
  },
  lr: {
    flag: `peak learning rate (default: ${listRates({})}; with ${LARGE / 1e6} million parameters or more ${listRates({ parameters: LARGE })})`,
    usual: null,
    label: "Learning rate",
    isMain: true,
    why: "The size of a step. Too small, and nothing is learned in time; too large, and the loss jumps or is not a number any more.",
  },
  dtype: {
    flag: "data type of the frozen weights: f16 takes half the memory, q8 a quarter, q4 (NF4) an eighth; auto: the widest that fits. Not for --mode all",
    label: "Frozen weights",
    why: "How the frozen weights are stored. float16 halves their memory, 8 bits need about a quarter, 4 bits (NF4, as in QLoRA) an eighth and round most; what is trained stays float32.",
    choices: { f32: "float32", f16: "float16", q8: "8 bits", q4: "4 bits (NF4)", auto: "what fits" },
  },
  recompute: {
    flag: "recompute activations in the backward pass: less memory, the same result, up to a third slower; auto: if memory is too small otherwise",
    label: "Recomputation",
    why: "Recomputes the activations of each block in the backward pass instead of keeping them. It takes less memory and more time; the result is the same.",
    choices: { auto: "if needed" },
  },
  batchSize: {
    flag: "messages per batch; of fewer rows all, unless this is given",
    label: "Batch size",
    why: "How many examples a step sees. Larger batches give steadier steps, fewer of them an epoch, and take more memory.",
  },
  accumulate: {
    flag: "batches per step (gradient accumulation)",
    label: "Accumulation",
    help: "Batches per step",
    why: "How many batches make one step. It acts like a larger batch without its memory.",
  },
  batching: {
    flag: "which messages share a batch: any, or those of similar length",
    label: "Batching",
    why: "Which examples share a batch. By length is faster where lengths differ much; random is the usual choice and mixes better.",
    choices: { length: "by length" },
  },
  schedule: {
    flag: "learning rate schedule after the warm-up",
    label: "Rate schedule",
    why: "How the learning rate changes after the warm-up. Linear decay ends at zero, which steadies the last steps.",
    choices: { linear: "linear decay", cosine: "cosine decay" },
  },
  warmup: {
    flag: "warm-up steps; below 1, a fraction of all steps",
    label: "Warm-up",
    help: "Steps; < 1: fraction",
    why: "The learning rate rises from zero during these steps, while the optimizer's averages are still rough. Below 1 it is a share of all steps.",
  },
  weightDecay: {
    flag: "AdamW's decoupled weight decay",
    label: "Weight decay",
    why: "Pulls the trained parameters towards zero at each step. It keeps them small and can prevent overfitting.",
  },
  classWeights: {
    flag: "auto: weight the loss by 1 / sqrt(rows of the class) if the largest class has over 1.5 times the rows of the smallest",
    label: "Class weights",
    why: "Whether rare classes count more in the loss. If unequal: where the largest class has over 1.5 times the rows of the smallest.",
    choices: { auto: "if unequal" },
  },
  clip: {
    flag: "maximum global gradient norm; 0: no clipping",
    label: "Gradient clipping",
    help: "Maximum norm; 0: off",
    why: "Gradients with a larger norm are scaled down to it. 1 is common where the loss jumps; 0 leaves them as they are.",
  },
  pooling: {
    flag: "what a message is classified by: the mean of its tokens' outputs, or that of its last token, as transformers does",
    label: "Pooling",
    why: "What of a text is classified. The mean of its tokens learns more from few rows; transformers' classes read the last token.",
    choices: { mean: "mean of all tokens", "last-token": "last token" },
  },
  headBias: {
    flag: "train the head without a bias, as PEFT and transformers do",
    label: "Head bias",
    why: "Whether the classification head adds a number for each class. PEFT and transformers train heads without.",
  },
  evalEvery: {
    flag: "steps between evaluations; 0: twice per epoch, or 10 times where few rows have more epochs",
    label: "Evaluation interval",
    help: "Steps; 0: twice per epoch",
    why: "The validation set is evaluated, and a checkpoint saved, every this many steps. 0: twice an epoch.",
  },
  patience: {
    flag: "stop after n evaluations in a row without a lower validation loss; 0: never",
    label: "Patience",
    help: "Evaluations without improvement; 0: off",
    why: "Ends the run after this many evaluations without a lower validation loss. 0: the run is never ended early.",
  },
  keep: {
    flag: "what is saved: the evaluation with the lowest validation loss, or the last",
    label: "Keep evaluation",
    why: "What is saved: the parameters with the lowest validation loss, or those after the last step.",
  },
  calibrate: {
    flag: "divide the logits by the temperature that has the lowest loss on the validation set; classify does so too",
    label: "Calibrate",
    why: "Divides the logits by the number with the lowest validation loss, so that 90 % is right in about 90 % of cases.",
  },
  threshold: {
    flag:
      "of two classes, predict --positive from the probability that has the highest f1 on the validation set, or precision=P " +
      "(as much recall as possible with it) or recall=R (as much precision); of several labels, each by itself; classify does so too",
    argument: "<how>",
    label: "Threshold",
    why: "The probability from which the rarer of two classes is predicted, or each of several labels; the validation set chooses it.",
    choices: { none: "none", f1: "highest F1", "precision=.95": "precision 95 %", "recall=.95": "recall 95 %" },
  },
  positive: {
    flag: "of two classes, the one that --threshold is for, and areas under curves (default: the rarer in the training set)",
    argument: "<class>",
    usual: null,
  },
  seed: {
    flag: "random seed of the split, the batch order and the initialization",
    label: "Seed",
    why: "The start of all random numbers. The same seed gives the same run; another one shows how much is chance.",
  },
};

/** The modes of each default learning rate. */
function listRates(known: Known): string {
  const rates = [...new Set(MODES.map((mode) => defaultRate(mode, known)))].sort((a, b) => a - b);
  return rates
    .map((rate) => `${joinWords(MODES.filter((mode) => defaultRate(mode, known) === rate))} ${rate}`)
    .join(", ");
}

const { layers, targets, ...ofMethods } = settingWords();

/** The words of every setting that people are offered. */
export const SETTING_WORDS: { readonly [name in keyof RunSettings]?: Words } = {
  ...WORDS,
  ...ofMethods,
  mode: { ...WORDS.mode, choices: Object.fromEntries(MODES.map((mode) => [mode, GUIDES[mode].choice])) },
  targets: { ...targets, usual: "all", argument: "<list>" },
  layers: {
    ...layers,
    argument: "<list>",
    flag: `${layers.flag} (default: all; of a Llama with fewer than ${LARGE / 1e6} million parameters the upper third)`,
    usual: null,
  },
};
