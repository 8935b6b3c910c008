/** How a language model is trained and measured. */
import { formatLoss, formatPerplexity } from "../format.ts";
import { type Columns, type Places, sampledMeasure } from "./compare.ts";
import type { Rows, Training } from "./task.ts";

/** Texts that are drawn as a whole where a sample of them is needed: documents, or the blocks of a few long ones. */
export interface Units {
  of: "documents" | "blocks";
  /** Targets of each, in the order of the targets of all blocks, and the UTF-8 bytes of their text. */
  tokens: number[];
  bytes: number[];
}

/** A set of texts. */
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
      evaluated: ({ loss }) => Math.exp(loss),
    },
    (columns, at) => Math.exp(lossPer("tokens", columns, at)),
  ),
  sampledMeasure(
    {
      ...{ key: "bpb", title: "Bits per byte", format: formatLoss, isError: true },
      evaluated: ({ bitsPerByte }) => bitsPerByte!,
    },
    (columns, at) => lossPer("bytes", columns, at) / Math.LN2,
  ),
])();

export const training: Training<Texts> = {
  defaults: {},
  lacks: {},
  labels: null,
  measures,
  tally: () => ({
    measures: ({ rows, correct, loss, bytes }) => ({
      ...{ accuracy: correct / rows, perplexity: Math.exp(loss / rows), bitsPerByte: loss / Math.LN2 / bytes },
    }),
  }),
};
