/** What gets no label, although a model would give it one: improbable labels, and texts unlike the training data. */
import { ConfigError } from "../../errors.ts";
import { formatCount } from "../../format.ts";
import { isBlank, type TextOrPair } from "../../pair.ts";
import { setting } from "../../setting.ts";
import { atLeast } from "../../tasks/certainty.ts";
import { TASKS } from "../../tasks/index.ts";
import { isAnswered, type Labelled } from "../../tasks/predictions.ts";
import type { Labeller } from "./labeller.ts";

interface LimitOptions {
  /** No label, and no entity, of a lower probability is given. */
  minProbability?: number | undefined;
  /** Whether a text is unlike the training data, where such texts get no label. */
  isUnlike?: ((text: TextOrPair) => boolean) | undefined;
}

/** Leaves out labels, and counts the texts that have none because of it. */
export class LabelLimits {
  private improbable = 0;
  private unlike = 0;

  /** Throws ConfigError for a least probability of scores. */
  constructor(
    { meta }: Labeller,
    private readonly options: LimitOptions,
  ) {
    const { predicts, title } = TASKS[meta.task.objective];
    if (options.minProbability !== undefined && predicts!.method === "score")
      throw new ConfigError("options-conflict", `${setting("minProbability")} is for labels`, {
        expected: "a model that gives labels with their probabilities",
        found: title,
      });
  }

  /** What is given of what the model makes of a text; null: nothing, as of a blank one. */
  apply(text: TextOrPair, result: Labelled): Labelled | null {
    if (isBlank(text)) return null;
    const { minProbability, isUnlike } = this.options;
    if (isUnlike?.(text)) {
      this.unlike++;
      return null;
    }
    if (minProbability === undefined) return result;
    const given = atLeast(result, minProbability);
    if (!isAnswered(given)) this.improbable++;
    return given;
  }

  /** How many of `all` texts have no label because of the limits. */
  describe(all: number): string[] {
    const { minProbability, isUnlike } = this.options;
    const count = (some: number, why: string) =>
      `without a label, as ${why}: ${formatCount(some)} of ${formatCount(all)} texts`;
    return [
      ...(isUnlike ? [count(this.unlike, "hardly any of their words are in the training data")] : []),
      ...(minProbability === undefined
        ? []
        : [count(this.improbable, `none has a probability of ${minProbability} or more`)]),
    ];
  }
}
