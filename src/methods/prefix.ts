/** Prefix tuning (Li and Liang 2021): trained keys and values before those of each text, in every block. */
import { qkvWidth } from "../core/config.ts";
import { addedTensors, keyValueColumns } from "../core/names.ts";
import type { Guide, Method } from "./method.ts";
import { mostTokens, type VirtualOptions, type VirtualPart } from "./prompt.ts";

/** Every block's attention uses it, the first block's first. */
const PLACE = { block: 0, layer: "attn.c_attn" } as const;

export const method: Method<VirtualPart> = {
  title: "prefix tuning",
  keys: ["num_virtual_tokens"],
  // [n, L 2 KV HS]: for each block n keys and n values, as PEFT stores it.
  tensors: (model, { num_virtual_tokens: n }) =>
    addedTensors("prefix", PLACE, { weight: [n, keyValueColumns(model)] }, { weight: (rng) => 0.02 * rng.normal() }),
  isSeparate: true,
  virtual: "keys",
  peft: {
    type: "PREFIX_TUNING",
    // PEFT's default: the width of the keys.
    config: (model) => ({ encoder_hidden_size: (qkvWidth(model) - model.n_embd) / 2, prefix_projection: false }),
  },
};

export { flags, training } from "./prompt.ts";

export const guide: Guide<VirtualOptions> = {
  choice: "prefix tuning",
  about: "Trained keys and values stand before each text in every block's attention. The model stays as it is.",
  // In papers: 5e-5 with an MLP over the prefix (Li and Liang 2021).
  rates: { lowest: 1e-3 },
  size: { setting: "virtualTokens", most: mostTokens },
  duration: 1,
};
