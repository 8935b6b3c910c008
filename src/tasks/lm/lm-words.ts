/** What people read of a language model. */
import { makeTable, type Table } from "../../document/blocks.ts";
import { capital, formatPerplexity } from "../../format.ts";
import type { Message, Words } from "../task.ts";
import type { TextDetails } from "./lm-training.ts";

export const words: Words<TextDetails> = {
  units: { many: "blocks", seen: "blocks", rows: "blocks", counted: "tokens" },
  loss: "cross-entropy (nats)",
  headline(_, { before, after }) {
    const [first, last] = [before, after].map(({ test }) => formatPerplexity(test.perplexity!));
    return `The perplexity on the test set was ${first} before and is ${last} now`;
  },
  blocks: (_, { test: { samples } }) => samplesTable(samples),
  table: ({ test: { rows, details, compared } }) =>
    makeTable<number>(
      "texts",
      "Texts of the test set: losses are sums over the tokens, in nats",
      [
        { title: "Text", key: "text", value: (i) => `${details.of === "documents" ? "document" : "block"} ${i + 1}` },
        ...["tokens", "bytes", "loss"].map((key) => ({
          title: capital(key),
          key,
          value: (i: number) => rows[key]![i],
        })),
      ],
      [...Array(compared[0].rows).keys()],
    ),
  drawn: ({ of }) =>
    of === "documents"
      ? { rows: of }
      : { rows: of, why: "The test set has fewer than 20 documents, so that blocks are drawn in place of documents." },
};

/** What was written after the beginnings of texts; its text is the user's own, as a message is. */
function samplesTable(samples: readonly Message[]): Table[] {
  const rows = samples.flatMap(({ text, truth, predicted, before }) => [
    ["Prompt", text],
    ["Before training", before],
    ["After training", predicted],
    ["In the data", truth],
  ]) as [string, string][];
  if (rows.length === 0) return [];
  return [
    makeTable(
      "samples",
      "What it writes after prompts of the test set, always the most likely token",
      [
        { title: "What", key: "what", value: ([what]) => what },
        { title: "Text", key: "message", value: ([, text]) => text },
      ],
      rows,
    ),
  ];
}
