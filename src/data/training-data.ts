/** What a run can learn from. Apart from what loads it: a page loads that when it has such data. */
import type { LoadedDataset } from "./datasets.ts";
import type { LoadedTagged } from "./text/tagged.ts";
import type { LoadedTexts } from "./text/texts.ts";

/** Data for training: messages with labels, sentences with tags, or texts. */
export type TrainingData = LoadedDataset | LoadedTagged | LoadedTexts;

/** Whether its rows are texts with an answer: messages with labels, or sentences with tags. */
export const hasAnswers = (data: TrainingData): data is LoadedDataset | LoadedTagged => "text" in data.test;

/** Whether it is of messages with labels. */
export const isLabelled = (data: TrainingData): data is LoadedDataset => "testParts" in data;
