/** How a language model is trained and measured. */
import type { Training } from "./task.ts";

export const training: Training = {
  defaults: {
    // By default no adapter of the head, which would have as many rows as the vocabulary.
    targets: ["q", "k", "v", "o", "fc", "proj"],
    pooling: "last-token",
    headBias: false,
    classWeights: "none",
  },
  // Texts are often short: small blocks and batches give enough steps, each of about as many tokens as with messages.
  pageDefaults: { batchSize: 2, maxLength: 64 },
  lacks: {
    labelColumn: "texts have no labels",
    labelSeparator: "texts have no labels",
    skipFaulty: "texts have no labels that could be invalid",
    split: "texts are split in their order, and JSON lines by the seed",
    balance: "texts have no classes",
    dedupe: "texts are not compared",
    trainRows: "texts are read whole",
    padding: "blocks are packed",
    pooling: "every token is predicted",
    headBias: "a language model's head is its token table",
    headInit: "a language model's head is its token table",
    "targets wte": "the token table is also the head",
    classWeights: "texts have no classes",
    calibrate: "texts have no classes",
    threshold: "texts have no classes",
    positive: "texts have no classes",
  },
  labels: null,
};
