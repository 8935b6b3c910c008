/**
 * What people read of each setting: in --help, and at its field in the page. Each is loaded only by what shows it; those
 * of the methods' settings are with the methods.
 */
import { joinWords } from "../format.ts";
import { MODES, takesSteps } from "../methods/index.ts";
import type { SettingWords } from "../methods/method.ts";
import { GUIDES, type MethodOptions, settingFlags, settingWords } from "../methods/training.ts";
import { DEFAULT_OBJECTIVE } from "../tasks/index.ts";
import { defaultRate, type Known, LARGE } from "./options.ts";
import type { RunSettings } from "./settings.ts";

/** What the published experiment alone has: `--set` reaches it. */
type Unshown = "balance" | "padding" | "headInit";

/** The settings that people are offered. */
type Offered<T> = Readonly<Record<Exclude<keyof RunSettings, Unshown>, T>>;
type General<T> = Readonly<Record<Exclude<keyof RunSettings, Unshown | keyof MethodOptions>, T>>;

/** A setting in the page. */
export interface FieldWords extends Omit<SettingWords, "why"> {
  /** What it is, and when to change it, at its field; absent: it has none. */
  why?: string;
  /** The choices of its field, by their values, or what some are called. */
  choices?: Readonly<Record<string, string>>;
}

/** Null: the page does not have it. */
const FIELDS: General<FieldWords | null> = {
  data: { label: "Own file" },
  dataset: { label: "Data set" },
  train: null,
  val: null,
  test: null,
  split: {
    label: "Data split",
    why: "How the data is divided into what is trained on, what is checked during training, and what is tested at the end. Stratified keeps each class's share in all three; near-duplicates are in one of them, unless the order is kept.",
  },
  dedupe: {
    label: "Deduplicate",
    why: "Drops near-duplicates of earlier rows: texts that differ only in numbers, punctuation, white space and case. Otherwise they are in one set with them, or, where sets are given or rows keep their order, make the test too easy.",
  },
  fractions: null,
  trainRows: null,
  textColumn: { label: "Text column" },
  labelColumn: { label: "Label column" },
  groupColumn: null,
  corrections: null,
  labelSeparator: {
    label: "Between labels",
    why: "What is between several labels in a cell of the table.",
    choices: { "|": "|", ",": "comma", ";": "semicolon" },
  },
  sheet: null,
  encoding: { label: "Encoding" },
  skipFaulty: null,
  maxLength: {
    label: "Maximum length",
    help: "Tokens; 0: context, at most 1024",
    why: "Longer messages are cut to this many tokens, and texts are cut into blocks of this many. Shorter ones train faster; 0 means the model's context, at most 1024.",
  },
  stride: null,
  model: { label: "Base model" },
  objective: { label: "The labels are" },
  adapter: { label: "Start from" },
  mode: {
    label: "Method",
    isMain: true,
    why: "Which parameters are trained; all others stay as they are. LoRA adds two thin matrices to each large one and trains them, full fine-tuning changes everything.",
  },
  epochs: {
    label: "Epochs",
    isMain: true,
    why: "How often each example is seen. More epochs take longer, and after some the model learns the examples by heart: the validation loss rises.",
  },
  lr: {
    label: "Learning rate",
    isMain: true,
    why: "The size of a step. Too small, and nothing is learned in time; too large, and the loss jumps or is not a number any more.",
  },
  dtype: {
    label: "Frozen weights",
    why: "How the frozen weights are stored. float16 halves their memory, 8 bits need about a quarter, 4 bits (NF4, as in QLoRA) an eighth and round most; integers of 16 bits are the fastest without a GPU. What is trained stays float32.",
    choices: { f32: "float32", f16: "float16", q8: "8 bits", q4: "4 bits (NF4)", int16: "integers", auto: "what fits" },
  },
  recompute: {
    label: "Recomputation",
    why: "Recomputes the activations of each block in the backward pass instead of keeping them. It takes less memory and more time; the result is the same.",
    choices: { auto: "if needed" },
  },
  batchSize: {
    label: "Batch size",
    why: "How many examples a step sees. Larger batches give steadier steps, fewer of them an epoch, and take more memory.",
  },
  accumulate: {
    label: "Accumulation",
    help: "Batches per step",
    why: "How many batches make one step. It acts like a larger batch without its memory.",
  },
  schedule: {
    label: "Rate schedule",
    why: "How the learning rate changes after the warm-up. Linear decay ends at zero, which steadies the last steps.",
    choices: { linear: "linear decay", cosine: "cosine decay" },
  },
  warmup: {
    label: "Warm-up",
    help: "Steps; < 1: fraction",
    why: "The learning rate rises from zero during these steps, while the optimizer's averages are still rough. Below 1 it is a share of all steps.",
  },
  weightDecay: {
    label: "Weight decay",
    why: "Pulls the trained parameters towards zero at each step. It keeps them small and can prevent overfitting.",
  },
  classWeights: {
    label: "Class weights",
    why: "Whether rare classes count more in the loss. If unequal: where the largest class has over 1.5 times the rows of the smallest.",
    choices: { auto: "if unequal" },
  },
  clip: {
    label: "Gradient clipping",
    help: "Maximum norm; 0: off",
    why: "Gradients with a larger norm are scaled down to it. 1 is common where the loss jumps; 0 leaves them as they are.",
  },
  pooling: {
    label: "Pooling",
    why: "What of a text is classified. The mean of its tokens learns more from few rows; transformers' classes read the last token.",
    choices: { mean: "mean of all tokens", cls: "first token, [CLS]", "last-token": "last token" },
  },
  headBias: {
    label: "Head bias",
    why: "Whether the classification head adds a number for each class. PEFT and transformers train heads without.",
  },
  evalEvery: {
    label: "Evaluation interval",
    help: "Steps; 0: twice per epoch",
    why: "The validation set is evaluated, and a checkpoint saved, every this many steps. 0: twice an epoch.",
  },
  patience: {
    label: "Patience",
    help: "Evaluations without improvement; 0: off",
    why: "Ends the run after this many evaluations without a lower validation loss. 0: the run is never ended early.",
  },
  keep: {
    label: "Keep evaluation",
    why: "What is saved: the parameters with the lowest validation loss, or those after the last step.",
  },
  calibrate: {
    label: "Calibrate",
    why: "Divides the logits by the number with the lowest validation loss, so that 90 % is right in about 90 % of cases.",
  },
  threshold: {
    label: "Threshold",
    why: "The probability from which the rarer of two classes is predicted, or each of several labels; the validation set chooses it.",
    choices: { none: "none", f1: "highest F1", "precision=.95": "precision 95 %", "recall=.95": "recall 95 %" },
  },
  positive: null,
  seed: {
    label: "Seed",
    why: "The start of all random numbers. The same seed gives the same run; another one shows how much is chance.",
  },
};

export const fieldWords = (): Offered<FieldWords | null> => ({
  ...FIELDS,
  ...settingWords(),
  mode: { ...FIELDS.mode!, choices: Object.fromEntries(MODES.map((mode) => [mode, GUIDES[mode].choice])) },
});

export interface FlagWords {
  text: string;
  /** What it takes, unless that is a number or a choice. */
  argument?: string;
  /** The default, where it is not that of the table; null: the text has it. */
  usual?: string | null;
}

export function flagWords(): Offered<FlagWords | string> {
  const ofMethods = settingFlags();
  const general: General<FlagWords | string> = {
    data: {
      text:
        "CSV, Excel (.xlsx), JSON lines, a JSON array, Parquet, or a folder with one for each class; CSV has commas, " +
        "semicolons or tabs, the folder may have train and test; rows are split 70/10/20",
      argument: "<file>",
    },
    dataset: {
      text:
        "spam or languages (bundled), or owner/name of the Hugging Face Hub; spam is mails and short messages; sms is the published experiment's data (downloaded once); " +
        "with --objective lm human-rights (bundled); of the hub owner/name[:configuration], such as stanfordnlp/imdb, fancyzhx/ag_news or ucirvine/sms_spam",
      argument: "<name>",
    },
    train: { text: "training set; requires --val and --test", argument: "<file>" },
    val: { text: "validation set", argument: "<file>" },
    test: { text: "test set", argument: "<file>" },
    split: {
      text: "how --data or --dataset is split, or how a validation set that the hub's data lacks is taken from the training set",
      usual:
        "that of the published experiment for sms, ordered for languages, else stratified: each class separately; random without one class a message",
    },
    fractions: {
      text: "shares of training, validation and test set: 1,0,0 trains on all rows, and measures nothing on others (default: .7,.1,.2; of texts .8,.1,.1; of languages its own)",
      argument: "<shares>",
    },
    dedupe:
      "drop rows that are near-duplicates of an earlier row, before splitting (default: they stay, in one set with it)",
    trainRows:
      "learn from about n rows, each class in proportion, and validate on as many fewer; the test set stays (default: all; " +
      "without data of your own 100)",
    textColumn: {
      text: "text column, or FIRST,SECOND of pairs; their relation is classified",
      argument: "<name>",
      usual: "detected",
    },
    labelColumn: {
      text: "label column; of several labels a message that have a column each, with 0 or 1, all: A,B,C",
      argument: "<name>",
      usual: "detected",
    },
    groupColumn: {
      text: "rows of one value here, such as a customer, stay in one set; and in one fold",
      argument: "<name>",
    },
    corrections: {
      text: 'a review.csv of --folds, after you have corrected it; you have looked through its column "correct label": these labels count, rows with "drop" are left out, and "new: LABEL", once, says which are new; repeat it for several',
      argument: "<file>",
    },
    labelSeparator: { text: "what is between several labels in a cell", argument: "<s>", usual: '"|"' },
    sheet: { text: "sheet of an Excel file", argument: "<name>", usual: "the only one with cells" },
    encoding: {
      text: "encoding of files that are not UTF-8, such as windows-1252; UTF-16 is recognized by its byte order mark",
      argument: "<name>",
    },
    skipFaulty: "skip invalid rows and report them",
    maxLength:
      "maximum message length in tokens; longer messages are truncated (default: the model's context, at most 1024)",
    stride: "lm: tokens between the starts of two blocks (default: --max-length)",
    model: {
      text:
        "base model, e5-small-cut or gpt2-micro (bundled), gpt2, smollm2-135m, owner/name on the Hugging Face Hub, a directory or a GGUF file; " +
        "e5-small-cut is multilingual-e5-small with fewer tokens (48 million parameters, 30 MB), gpt2-micro has 7 million (15 MB); also gpt2-medium, ..., distilgpt2, or the address of a GGUF file; language models and sweeps begin with gpt2-micro",
      argument: "<name>",
      usual: "e5-small-cut, or gpt2-micro",
    },
    objective: {
      text:
        "what is learned: a class, a score or several labels for a message, a tag for each word, or texts; scores are numbers; several labels stand in a cell, a|b, or none; " +
        "tags (entities) are in CoNLL files, with a word and its tag a line, or in JSON lines with tokens and tags, or with a text and its entities; " +
        "lm learns blocks of --max-length tokens, from plain text files (each one document, split 80/10/10 at line ends) or JSON lines " +
        '(.jsonl, one {"text"}, {"prompt", "completion"} or {"messages"} a line, also as Alpaca and ShareGPT name them; shuffled and split)',
      usual: DEFAULT_OBJECTIVE,
    },
    adapter: {
      text: "continue from an adapter: a run's, or PEFT's (SEQ_CLS, TOKEN_CLS with --objective tokens, CAUSAL_LM with --objective lm)",
      argument: "<dir>",
    },
    mode: "which parameters are trained; probe: a regression on what the frozen model makes of a text, in seconds; classic: no model, but TF-IDF with logistic or ridge regression, in seconds",
    epochs: "passes over the training set; of few rows as many as make 150 steps, unless this is given",
    lr: {
      text: `peak learning rate (default: ${listRates({})}; with ${LARGE / 1e6} million parameters or more ${listRates({ parameters: LARGE })})`,
      usual: null,
    },
    dtype:
      "data type of the frozen weights: f16 takes half the memory, q8 a quarter, q4 (NF4) an eighth; int16 half, multiplied in integers, the fastest without a GPU and only there; auto: the widest of the others that fits. Not for --mode all",
    recompute:
      "recompute activations in the backward pass: less memory, the same result, up to a third slower; auto: if memory is too small otherwise",
    batchSize: "messages per batch; of fewer rows all, unless this is given",
    accumulate: "batches per step (gradient accumulation)",
    schedule: "learning rate schedule after the warm-up",
    warmup: "warm-up steps; below 1, a fraction of all steps",
    weightDecay: "AdamW's decoupled weight decay",
    classWeights:
      "auto: weight the loss by 1 / sqrt(rows of the class) if the largest class has over 1.5 times the rows of the smallest",
    clip: "maximum global gradient norm; 0: no clipping",
    pooling:
      "what a message is classified by: the mean of its tokens' outputs, that of its first (cls: encoders alone), or of its last token; the default is the base's own, if its folder of sentence-transformers says it",
    headBias: "train the head without a bias, as PEFT and transformers do",
    evalEvery: "steps between evaluations; 0: twice per epoch, or 10 times where few rows have more epochs",
    patience: "stop after n evaluations in a row without a lower validation loss; 0: never",
    keep: "what is saved: the evaluation with the lowest validation loss, or the last",
    calibrate:
      "divide the logits by the temperature that has the lowest loss on the validation set; classify does so too",
    threshold: {
      text:
        "of two classes, predict --positive from the probability that has the highest f1 on the validation set, or precision=P " +
        "(as much recall as possible with it) or recall=R (as much precision); of several labels, each by itself; classify does so too",
      argument: "<how>",
    },
    positive: {
      text: "of two classes, the one that --threshold is for, and areas under curves (default: the rarer in the training set)",
      argument: "<class>",
      usual: null,
    },
    seed: "random seed of the split, the batch order and the initialization",
  };
  return {
    ...general,
    ...ofMethods,
    targets: { text: ofMethods.targets, argument: "<list>", usual: "all" },
    layers: {
      text: `${ofMethods.layers} (default: all; of a Llama with fewer than ${LARGE / 1e6} million parameters the upper third)`,
      argument: "<list>",
      usual: null,
    },
  };
}

/** The modes of each default learning rate. */
function listRates(known: Known): string {
  const modes = MODES.filter(takesSteps);
  const rates = [...new Set(modes.map((mode) => defaultRate(mode, known)))].sort((a, b) => a - b);
  return rates
    .map((rate) => `${joinWords(modes.filter((mode) => defaultRate(mode, known) === rate))} ${rate}`)
    .join(", ");
}
