/** How each task is trained and measured: not loaded by what only uses a model. */

import type { LabelKind } from "../labels/kind.ts";
import { training as classification } from "./classification/classification-training.ts";
import { OBJECTIVES, type Objective } from "./index.ts";
import { training as lm } from "./lm/lm-training.ts";
import { training as multiLabel } from "./multi-label/multi-label-training.ts";
import { training as regression } from "./regression/regression-training.ts";
import type { Training } from "./task.ts";
import { training as tokens } from "./tokens/tokens-training.ts";

export const TRAINING: Readonly<Record<Objective, Training>> = {
  classification,
  regression,
  "multi-label": multiLabel,
  tokens,
  lm,
};

/** The task whose labels are of a kind. */
export const objectiveWith = (labels: LabelKind): Objective =>
  OBJECTIVES.find((one) => TRAINING[one].labels === labels)!;
