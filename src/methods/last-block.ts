/**
 * The last block and the head of a classifier are trained. The final layer norm stays frozen, as in the paper's
 * program.
 */
import type { Guide, Method, Training } from "./method.ts";

export const method: Method = {
  title: "last block",
  keys: [],
  trains: ({ block }, { n_layer }) => block === n_layer - 1,
};

export const training: Training = { settings: {}, rates: [1e-3, 5e-5] };

export const guide: Guide = {
  choice: "last block",
  about:
    "Only the last block is trained, and a classifier's head. The blocks below stay as they are and are computed once.",
  rates: { lowest: 1e-4 },
  duration: 0.4,
  compared: [{ settings: {} }],
};
