/** Baselines of a run: of whole texts a classic model, and what is guessed without reading a text. */

import { fitClassic } from "../classic/fit.ts";
import type { ClassicModel } from "../classic/model.ts";
import { shareAlike } from "../classic/nearness.ts";
import { setTexts } from "../classic/tfidf.ts";
import type { TextOrPair } from "../core/pair.ts";
import type { LoadedDataset } from "../data/datasets.ts";
import type { TrainingData } from "../data/training-data.ts";
import type { Baseline } from "../tasks/task.ts";
import { TRAINING } from "../tasks/training.ts";

/** The baselines of a run, and the model that is one of them; null: there is none. */
export interface FittedBaselines {
  baselines: Baseline[];
  classic: ClassicModel | null;
}

type Texts = TextOrPair[];
type Sets = Pick<LoadedDataset, "train" | "val" | "test" | "labels" | "objective" | "pairs">;

export async function fitBaselines(data: TrainingData | Sets, signal?: AbortSignal): Promise<FittedBaselines> {
  const baselines = simpleBaselines(data);
  const classic = await fitClassic(data as Sets, signal);
  return { classic, baselines: [...(classic ? [await answers(classic, data as Sets)] : []), ...baselines] };
}

export const simpleBaselines = (data: TrainingData | Sets): Baseline[] =>
  TRAINING[data.objective].labels.baselines(data);

async function answers(classic: ClassicModel, { objective, train, test, labels }: Sets): Promise<Baseline> {
  const { name, limits, tfidf } = classic.parts;
  const [learned, tested] = [train, test].map((set) => [...setTexts(set, set.positions())]) as [Texts, Texts];
  const logits = await classic.logits(tested, labels);
  return {
    name,
    ...(limits ? { limits } : {}),
    ...(tested.length > 0 && !tfidf.isPair ? { alike: await shareAlike(tfidf, learned, tested) } : {}),
    values: TRAINING[objective].answer!(logits, labels.length),
  };
}
