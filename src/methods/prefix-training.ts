/** How a prefix is trained, which is as a prompt is, and what people read of it. */
import type { Guide } from "./method.ts";
import { mostTokens, type VirtualOptions, virtualTokensWords } from "./prompt-training.ts";

export { flags, training } from "./prompt-training.ts";

export const guide: Guide<VirtualOptions> = {
  choice: "prefix tuning",
  about: "Trained keys and values stand before each text in every block's attention. The model stays as it is.",
  settings: { virtualTokens: virtualTokensWords },
  rates: { lowest: 1e-3, papers: "5e-5 with an MLP over the prefix (Li and Liang 2021)" },
  size: { setting: "virtualTokens", most: mostTokens },
  duration: 1,
};
