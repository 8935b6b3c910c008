/** How each task is trained and measured: not loaded by what only uses a model. */
import { training as classification } from "./classification-training.ts";
import type { Objective } from "./index.ts";
import { training as lm } from "./lm-training.ts";
import { training as multiLabel } from "./multi-label-training.ts";
import { training as regression } from "./regression-training.ts";
import type { Training } from "./task.ts";

export const TRAINING: Readonly<Record<Objective, Training>> = {
  classification,
  regression,
  "multi-label": multiLabel,
  lm,
};
