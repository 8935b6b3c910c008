/** What a run can learn from. Apart from what loads it: a page loads that when it has such data. */
import { TRAINING } from "../tasks/training.ts";
import type { LoadedDataset } from "./datasets.ts";
import type { LoadedTagged } from "./text/tagged.ts";
import type { LoadedTexts } from "./text/texts.ts";

/** Data for training: messages with labels, sentences with tags, or texts. */
export type TrainingData = LoadedDataset | LoadedTagged | LoadedTexts;

/** What is made of data, by what has a label in it. */
export const matchData = <T>(
  data: TrainingData,
  cases: { text(data: LoadedDataset): T; word(data: LoadedTagged): T; nothing(data: LoadedTexts): T },
): T => cases[TRAINING[data.objective].labels.of](data as never);
