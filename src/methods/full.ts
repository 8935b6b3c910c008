/** Full fine-tuning: every parameter is trained. */
import type { Guide, Method, Training } from "./method.ts";

export const method: Method = {
  title: "full fine-tuning",
  keys: [],
  trains: () => true,
  freezesNothing: true,
};

export const training: Training = { settings: {}, rates: [5e-4, 5e-5] };

export const guide: Guide = {
  choice: "full fine-tuning (all parameters)",
  about:
    "Full fine-tuning changes every parameter: the whole square. It needs the most memory, and its result is as large as the model.",
  // In papers: 1e-5 to 5e-5 (Devlin et al. 2019, Ben Zaken et al. 2021).
  rates: { lowest: 1e-5 },
  duration: 1.6,
  compared: [{ settings: {} }],
};
