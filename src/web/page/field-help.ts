/**
 * What each setting does, for the "?" next to its field: what it is, and when to change it. Those of the methods are
 * with the methods.
 */
import type { Split } from "../../data/split.ts";
import type { MethodOptions } from "../../methods/index.ts";
import type { TrainOptions } from "../../train/options.ts";
import type { PageSettings } from "../protocol.ts";

/** The settings of a run, and their values on the page; a maximum length of 0 is the model's context. */
export type Values = TrainOptions &
  Pick<PageSettings, "device"> &
  Required<Pick<PageSettings, "balance" | "dedupe" | "maxLength" | "labelSeparator">> & { split: Split | "default" };

export const FIELD_HELP: Readonly<Record<Exclude<keyof Values, keyof MethodOptions | "positive">, string>> = {
  mode: "Which parameters are trained; all others stay as they are. LoRA adds two thin matrices to each large one and trains them, full fine-tuning changes everything.",
  epochs:
    "How often each example is seen. More epochs take longer, and after some the model learns the examples by heart: the validation loss rises.",
  lr: "The size of a step. Too small, and nothing is learned in time; too large, and the loss jumps or is not a number any more.",
  device:
    "What computes. Auto tries the graphics processor (WebGPU), compares its results with the CPU's and takes the faster one.",
  dtype:
    "How the frozen weights are stored. float16 halves their memory, 8 bits need about a quarter, 4 bits (NF4, as in QLoRA) an eighth and round most; what is trained stays float32.",
  recompute:
    "Recomputes the activations of each block in the backward pass instead of keeping them. It takes less memory and more time; the result is the same.",
  batchSize:
    "How many examples a step sees. Larger batches give steadier steps, fewer of them an epoch, and take more memory.",
  accumulate: "How many batches make one step. It acts like a larger batch without its memory.",
  batching:
    "Which examples share a batch. By length is faster where lengths differ much; random is the usual choice and mixes better.",
  schedule:
    "How the learning rate changes after the warm-up. Linear decay ends at zero, which steadies the last steps.",
  warmup:
    "The learning rate rises from zero during these steps, while the optimizer's averages are still rough. Below 1 it is a share of all steps.",
  weightDecay:
    "Pulls the trained parameters towards zero at each step. It keeps them small and can prevent overfitting.",
  classWeights:
    "Whether rare classes count more in the loss. If unequal: where the largest class has over 1.5 times the rows of the smallest.",
  clip: "Gradients with a larger norm are scaled down to it. 1 is common where the loss jumps; 0 leaves them as they are.",
  pooling:
    "What of a text is classified. The mean of its tokens learns more from few rows; transformers' classes read the last token.",
  maxLength:
    "Longer messages are cut to this many tokens, and texts are cut into blocks of this many. Shorter ones train faster; 0 means the model's context, at most 1024.",
  split:
    "How the data is divided into what is trained on, what is checked during training, and what is tested at the end. Stratified keeps each class's share in all three.",
  evalEvery: "The validation set is evaluated, and a checkpoint saved, every this many steps. 0: twice an epoch.",
  patience:
    "Ends the run after this many evaluations without a lower validation loss. 0: the run is never ended early.",
  keep: "What is saved: the parameters with the lowest validation loss, or those after the last step.",
  seed: "The start of all random numbers. The same seed gives the same run; another one shows how much is chance.",
  calibrate:
    "Divides the logits by the number with the lowest validation loss, so that 90 % is right in about 90 % of cases.",
  threshold:
    "The probability from which the rarer of two classes is predicted, or each of several labels; the validation set chooses it.",
  labelSeparator: "What is between several labels in a cell of the table.",
  balance: "Drops rows of the larger classes until all are as large as the smallest. Class weights need no dropping.",
  dedupe:
    "Drops near-copies of earlier rows. Copies in both the training and the test set make the accuracy look better than it is.",
  headBias: "Whether the classification head adds a number for each class. PEFT and transformers train heads without.",
  headInit:
    "The head's weights before the first step. From zeros no class begins likelier than another: the first loss is that of a guess.",
};
