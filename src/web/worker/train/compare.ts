/** The runs of a comparison of methods, each at a learning rate that suits it. */
import type { Mode } from "../../../methods/index.ts";
import { comparedRuns } from "../../../methods/training.ts";
import { type Known, ofMode, pickRate } from "../../../train/options.ts";
import type { PageSettings } from "../../protocol.ts";

/** The settings of each run: the visitor's, except those of the method. */
export function methodSettings(settings: PageSettings, modes: readonly Mode[], known: Known): PageSettings[] {
  const { adapter: _, ...others } = settings;
  return comparedRuns(modes).map(({ settings: own, rates }) =>
    ofMode({ ...others, ...own, lr: pickRate(rates, known) }, own.mode),
  );
}
