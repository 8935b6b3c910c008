/** Labels that are not given, although a model would give them: improbable ones. */
import { ConfigError } from "../../core/errors.ts";
import { formatCount } from "../../core/format.ts";
import { setting } from "../../core/setting.ts";
import { atLeast } from "../../tasks/certainty.ts";
import { TASKS } from "../../tasks/index.ts";
import { isAnswered, type Labelled } from "../../tasks/predictions.ts";
import type { Labeller } from "./labeller.ts";

/** Leaves out labels, and counts the texts that have none because of it. */
export class LabelLimits {
  private improbable = 0;

  /**
   * No label, and no entity, of a lower probability is given; undefined: all are. Throws ConfigError for a least
   * probability of scores.
   */
  constructor(
    { meta }: Labeller,
    private readonly minProbability: number | undefined,
  ) {
    const { predicts, title } = TASKS[meta.task.objective];
    if (minProbability !== undefined && predicts!.method === "score")
      throw new ConfigError("options-conflict", `${setting("minProbability")} is for labels`, {
        expected: "a model that gives labels with their probabilities",
        found: title,
      });
  }

  /** What is given of what the model makes of a text that is not blank. */
  apply(result: Labelled): Labelled {
    if (this.minProbability === undefined) return result;
    const given = atLeast(result, this.minProbability);
    if (!isAnswered(given)) this.improbable++;
    return given;
  }

  /** How many of `all` texts have no label because of the limits. */
  describe(all: number): string[] {
    if (this.minProbability === undefined) return [];
    const counts = `${formatCount(this.improbable)} of ${formatCount(all)} texts`;
    return [`without a label, as none has a probability of ${this.minProbability} or more: ${counts}`];
  }
}
