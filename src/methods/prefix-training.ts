/** How a prefix is trained, and what people read of it. */
import type { Flags, Guide, Training } from "./method.ts";
import type { PrefixPart } from "./prefix.ts";
import {
  describeTokens,
  mostTokens,
  type VirtualOptions,
  virtualTokens,
  virtualTokensFlag,
  virtualTokensWords,
} from "./prompt-training.ts";

export interface PrefixOptions extends VirtualOptions {
  /** Hidden width of the projection that computes a prefix in training; 0: none. Default: 0. */
  prefixProjection: number;
}

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
