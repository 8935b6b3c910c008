/** The tasks, by the names of their objectives. A task is added by its file and its lines here. */
import type { ModelConfig } from "../core/config.ts";
import * as classification from "./classification/classification.ts";
import * as lm from "./lm/lm.ts";
import * as multiLabel from "./multi-label/multi-label.ts";
import * as regression from "./regression/regression.ts";
import type { Task } from "./task.ts";
import * as tokens from "./tokens/tokens.ts";

const LIST = {
  classification: classification.task,
  regression: regression.task,
  "multi-label": multiLabel.task,
  tokens: tokens.task,
  lm: lm.task,
};

/**
 * What is trained: a classifier with one class a message, a model that gives messages a score, a classifier with any
 * number of labels a message, one with a tag for each word, or a language model.
 */
export type Objective = keyof typeof LIST;

/** What is learned of messages, whose labels are in a column. */
export type MessagesObjective = Exclude<Objective, "tokens" | "lm">;

export const TASKS: Readonly<Record<Objective, Task>> = LIST;

export const OBJECTIVES = /* @__PURE__ */ Object.keys(LIST) as readonly Objective[];

/** What is learned unless something else is said. */
export const DEFAULT_OBJECTIVE: Objective = "classification";

/**
 * What a message is classified by: the mean of its tokens' outputs; the output of its first token, an encoder's [CLS];
 * that of its last token, as transformers' classes of decoders do; or that of the last position of the padded row, as
 * the published program does.
 */
export const POOLINGS = ["mean", "cls", "last-token", "last"] as const;
/** What a message is classified by: `mean`, `cls`, `last-token` or `last`. */
export type Pooling = (typeof POOLINGS)[number];

/** What a model's head is for. */
export interface TaskConfig {
  objective: Objective;
  /** Number of classes, or of labels; 1 for a regression, 0 for a language model. */
  num_labels: number;
  pooling: Pooling;
  /** Whether the head has a bias. */
  head_bias: boolean;
}

type Learned = Pick<TaskConfig, "objective">;

/** Whether a text is classified by the mean of its rows, not by one of them. */
export const isMean = ({ pooling }: Pick<TaskConfig, "pooling">): boolean => pooling === "mean";

/** The row that a text of `length` tokens from `start` on is classified at, whose padding ends at `end`. */
export const classifiedRow = (pooling: Pooling, start: number, length: number, end: number): number =>
  pooling === "cls" ? start : pooling === "last" ? end - 1 : start + length - 1;

/** Whether each token has a target, not each text. */
export const readsTokens = ({ objective }: Learned): boolean => TASKS[objective].target === "token";

/** Whether it is learned of messages: a text as a whole has a label. */
export const isOfMessages = (objective: Objective): objective is MessagesObjective => !readsTokens({ objective });

/** Whether the model has a head of its own, not that of the language model. */
export const hasHead = ({ objective }: Learned): boolean => TASKS[objective].head === "own";

export const countOutputs = (
  task: Pick<TaskConfig, "objective" | "num_labels">,
  { vocab_size }: ModelConfig,
): number => (hasHead(task) ? task.num_labels : vocab_size);

/** Whether the outputs are labels, which have names. */
export const hasLabels = ({ objective }: Learned): boolean => TASKS[objective].outputs.most === undefined;

/** Whether a text has one class. */
export const hasOneClass = (task: Learned): boolean => hasLabels(task) && !hasValues(task) && !readsTokens(task);

/** Whether the targets are values of each output, not the one class of a row. */
export const hasValues = ({ objective }: Learned): boolean => TASKS[objective].loss !== "cross-entropy";
