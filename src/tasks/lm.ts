/** The next token of texts. */
import { makeTable } from "../document/blocks.ts";
import { formatLoss, formatPerplexity } from "../format.ts";
import { type Columns, type Places, sampledMeasure } from "./compare.ts";
import type { Rows, Task, Training, Usage, Words } from "./task.ts";

export const task: Task = {
  title: "a language model",
  target: "token",
  head: "vocabulary",
  loss: "cross-entropy",
  outputs: { least: 0, most: 0 },
  peft: "CAUSAL_LM",
  transformers: "AutoModelForCausalLM",
  hub: "text-generation",
};

export const usage: Usage = {
  does: () => "continues texts",
  python: [
    'batch = tokenizer("Once upon a time", return_tensors="pt")',
    "print(tokenizer.decode(model.eval().generate(**batch, max_new_tokens=60)[0]))",
  ],
  javascript: [
    'const generate = await pipeline("text-generation", "./");',
    'const [{ generated_text }] = await generate("Once upon a time", { max_new_tokens: 60, do_sample: false });',
    "console.log(generated_text);",
  ],
  hasPipeline: true,
};

/** Texts that are drawn as a whole where a sample of them is needed: documents, or the blocks of a few long ones. */
export interface Units {
  of: "documents" | "blocks";
  /** Targets of each, in the order of the targets of all blocks, and the UTF-8 bytes of their text. */
  tokens: number[];
  bytes: number[];
}

/** A set of texts. */
interface Texts extends Rows {
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

export const training: Training<Texts, TextDetails> = {
  defaults: {},
  lacks: {},
  labels: null,
  measures,
  evaluated: ["accuracy", "perplexity", "bitsPerByte"],
  answer: "text",
  columns: () => ({ loss: Infinity, tokens: Infinity, bytes: Infinity }),
  tally: () => ({
    measures: ({ rows, correct, loss, bytes }) => ({
      ...{ accuracy: correct / rows, perplexity: Math.exp(loss / rows), bitsPerByte: loss / Math.LN2 / bytes },
    }),
  }),
  details: { of: "text" },
  measuring: async () => ({
    predict: (losses) => ({ values: losses }),
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
    describe: (set) => ({ samples: [], mistakes: [], preferred: [], details: { of: set.units().of } }),
  }),
};

export const words: Words<TextDetails> = {
  units: { one: "block", many: "blocks", seen: "blocks", rows: "blocks", counted: "tokens" },
  loss: "cross-entropy (nats)",
  headline(_, { before, after }) {
    const [first, last] = [before, after].map(({ test }) => formatPerplexity(test.perplexity!));
    return `The perplexity on the test set was ${first} before and is ${last} now`;
  },
  tables: (
    _,
    {
      test: {
        rows,
        details,
        compared: [{ rows: count }],
      },
    },
  ) => [
    makeTable<number>(
      "texts",
      "Texts of the test set: losses are sums over the tokens, in nats",
      [
        { title: null, key: "text", value: (i) => `${details.of === "documents" ? "document" : "block"} ${i + 1}` },
        ...["tokens", "bytes", "loss"].map((key) => ({ title: null, key, value: (i: number) => rows[key]![i] })),
      ],
      [...Array(count).keys()],
    ),
  ],
  drawn: ({ of }) =>
    of === "documents"
      ? { rows: of }
      : { rows: of, why: "The test set has fewer than 20 documents, so that blocks are drawn in place of documents." },
  file: ["losses", "texts.csv"],
};
