/** How a language model is trained and measured. */

import { formatLoss, formatPerplexity } from "../../core/format.ts";
import { NONE } from "../../labels/none.ts";
import { type Columns, type Places, sampledMeasure } from "../compare.ts";
import type { Rows, Training } from "../task.ts";

/** Texts that are drawn as a whole where a sample of them is needed: documents, or the blocks of a few long ones. */
export interface Units {
  of: "documents" | "blocks";
  /** Targets of each, in the order of the targets of all blocks, and the UTF-8 bytes of their text. */
  tokens: number[];
  bytes: number[];
}

export interface Texts extends Rows {
  units(): Units;
}

/** What only a language model's results have: what the rows are. */
export interface TextDetails {
  of: Units["of"];
}

function lossPer(key: "tokens" | "bytes", { loss = [], [key]: counts = [] }: Columns, at?: Places): number {
  const { length } = at ?? loss;
  let [sum, count] = [0, 0];
  for (let i = 0; i < length; i++) {
    const row = at ? at[i]! : i;
    sum += loss[row]!;
    count += counts[row]!;
  }
  return sum / count;
}

const HELP =
  "A perplexity of 100 means that the model is as unsure of the next token as if it chose among 100 equally likely ones: lower is better.";

const measures: Training["measures"] = /* @__PURE__ */ (() => [
  sampledMeasure(
    {
      ...{ key: "ppl", title: "Perplexity", format: formatPerplexity, isError: true, help: HELP, hub: "perplexity" },
      evaluated: Math.exp,
    },
    (columns, at) => Math.exp(lossPer("tokens", columns, at)),
  ),
  sampledMeasure(
    { key: "bpb", title: "Bits per byte", format: formatLoss, isError: true, evaluated: "bitsPerByte" },
    (columns, at) => lossPer("bytes", columns, at) / Math.LN2,
  ),
])();

export const training: Training<Texts, TextDetails> = {
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
    corrections: "texts have no labels",
    labelColumn: "texts have no labels",
    groupColumn: "texts are not divided into folds",
    labelSeparator: "texts have no labels",
    sheet: "texts are not read from Excel files",
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
  labels: NONE,
  measures,
  columns(set, losses) {
    const { tokens, bytes } = set.units();
    let target = 0;
    const loss = tokens.map((count) => {
      let sum = 0;
      for (const end = target + count; target < end; target++) sum += losses[target]!;
      return sum;
    });
    return { loss, tokens, bytes };
  },
  predict: (losses) => ({ values: losses }),
  stored: {
    answer: "text",
    columns: () => ({ loss: Infinity, tokens: Infinity, bytes: Infinity }),
    details: { of: "text" },
  },
  describe: (set) => ({ samples: [], mistakes: [], preferred: [], details: { of: set.units().of } }),
};
