/** BitFit (Ben Zaken et al. 2021): every bias and the head of a classifier are trained. */
import type { Guide, Method, Training } from "./method.ts";

export const method: Method = {
  title: "biases only (BitFit)",
  keys: [],
  trains: ({ part }) => part === "bias",
};

export const training: Training = { settings: {}, rates: [3e-3, 1e-3] };

export const guide: Guide = {
  choice: "biases (BitFit)",
  about: "Only the biases, which are added after each matrix product, and a classifier's head are trained.",
  // In papers: 1e-4 to 1e-3 (Ben Zaken et al. 2021).
  rates: { lowest: 1e-4 },
  duration: 1.1,
  compared: [{ settings: {} }],
};
