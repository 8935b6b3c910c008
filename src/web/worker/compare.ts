/** The runs of a comparison of methods, each at a learning rate that suits it. */
import type { GPT2Config } from "../../config.ts";
import { comparedRuns } from "../../methods/index.ts";
import { ofMode } from "../../train/options.ts";
import type { PageSettings } from "../protocol.ts";

/** The width from which a model counts as large: GPT-2's smallest has 768. */
const LARGE = 512;

/** The settings of each run: the visitor's, except those of the method. */
export function methodSettings(settings: PageSettings, { n_embd }: Pick<GPT2Config, "n_embd">): PageSettings[] {
  const { adapter: _, ...others } = settings;
  return comparedRuns().map(({ settings: own, lr: [small, large] }) =>
    ofMode({ ...others, ...own, lr: n_embd < LARGE ? small : large }, own.mode),
  );
}
