/**
 * Prefix tuning (Li and Liang 2021): trained keys and values before those of each text, in every block. While they are
 * trained they may be the output of an MLP, which is not saved.
 */
import { qkvWidth } from "../config.ts";
import { addedTensors, affine, type Initial, keyValueColumns, uniform } from "../names.ts";
import type { Flags, Guide, Method, Training } from "./method.ts";
import {
  describeTokens,
  mostTokens,
  type VirtualOptions,
  type VirtualPart,
  virtualTokens,
  virtualTokensFlag,
  virtualTokensWords,
} from "./prompt.ts";

export interface PrefixOptions extends VirtualOptions {
  /** Hidden width of the projection that computes a prefix in training; 0: none. */
  prefixProjection: number;
}

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

export const training: Training<PrefixOptions, PrefixPart> = {
  settings: { virtualTokens, prefixProjection: { default: 0, number: { min: 0, whole: true } } },
  rates: [1e-2, 1e-2],
  describe: describeTokens,
  config: ({ virtualTokens, prefixProjection }) => ({
    num_virtual_tokens: virtualTokens,
    ...(prefixProjection > 0 ? { encoder_hidden_size: prefixProjection } : {}),
  }),
  // The projection is no part of an adapter.
  options: ({ num_virtual_tokens }) => ({ virtualTokens: num_virtual_tokens, prefixProjection: 0 }),
};

export const guide: Guide<PrefixOptions> = {
  choice: "prefix tuning",
  about: "Trained keys and values stand before each text in every block's attention. The model stays as it is.",
  settings: {
    virtualTokens: virtualTokensWords,
    prefixProjection: {
      label: "Prefix projection",
      help: "Hidden width; 0: none",
      why: "The width of a small network that makes the prefix while it is trained. It can make training steadier; it is not needed afterwards.",
    },
  },
  rates: { lowest: 1e-3, papers: "5e-5 with a projection (Li and Liang 2021)" },
  size: { setting: "virtualTokens", most: mostTokens },
  duration: 1,
};

export const flags: Flags<PrefixOptions> = {
  virtualTokens: virtualTokensFlag,
  prefixProjection: "hidden width of the MLP that makes the prefix while it is trained; 0: none",
};
