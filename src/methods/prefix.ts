/**
 * Prefix tuning (Li and Liang 2021): trained keys and values before those of each text, in every block. While they are
 * trained they may be the output of an MLP, which is not saved.
 */
import { qkvWidth } from "../config.ts";
import { addedTensors, affine, type Initial, keyValueColumns, uniform } from "../names.ts";
import type { Method } from "./method.ts";
import type { VirtualPart } from "./prompt.ts";

export interface PrefixPart extends VirtualPart {
  /** While it is trained: the hidden width of the projection; absent or 0: none. */
  encoder_hidden_size?: number;
}

/** Every block's attention uses it, the first block's first. */
const PLACE = { block: 0, layer: "attn.c_attn" } as const;

/** As PEFT's, with so many inputs. */
function asLinear(inputs: number): Record<"weight" | "bias", Initial> {
  const initial = uniform(1 / Math.sqrt(inputs));
  return { weight: initial, bias: initial };
}

export const method: Method<PrefixPart> = {
  title: "prefix tuning",
  keys: ["num_virtual_tokens"],
  // [n, L 2 KV HS]: for each block n keys and n values, as PEFT stores it. Weights are [in, out].
  tensors(model, { num_virtual_tokens: n, encoder_hidden_size: hidden = 0 }) {
    const [C, width] = [model.n_embd, keyValueColumns(model)];
    if (hidden === 0)
      return addedTensors("prefix", PLACE, { weight: [n, width] }, { weight: (rng) => 0.02 * rng.normal() });
    return [
      ...addedTensors("prefix", PLACE, { embedding: [n, C] }, { embedding: (rng) => rng.normal() }),
      ...addedTensors("prefix.fc", PLACE, affine(C, hidden), asLinear(C)),
      ...addedTensors("prefix.proj", PLACE, affine(hidden, width), asLinear(hidden)),
    ];
  },
  isSeparate: true,
  virtual: "keys",
  peft: {
    type: "PREFIX_TUNING",
    // PEFT's default: the width of the keys.
    config: (model) => ({ encoder_hidden_size: (qkvWidth(model) - model.n_embd) / 2, prefix_projection: false }),
  },
};
