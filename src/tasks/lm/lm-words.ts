/** What people read of a language model. */

import { capital, formatPerplexity } from "../../core/format.ts";
import { makeTable, type Table } from "../../document/blocks.ts";
import type { Message, Usage, Words } from "../task.ts";
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

export const usage: Usage = {
  transformers: "AutoModelForCausalLM",
  hub: "text-generation",
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
  chat: {
    does: () => "answers as in its chats",
    python: [
      'messages = [{"role": "user", "content": "Hello"}]',
      'batch = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True, return_tensors="pt")',
      'answer = model.eval().generate(**batch, max_new_tokens=60)[0][batch["input_ids"].shape[1]:]',
      "print(tokenizer.decode(answer, skip_special_tokens=True))",
    ],
    javascript: [
      'const generate = await pipeline("text-generation", "./");',
      'const messages = [{ role: "user", content: "Hello" }];',
      "const [{ generated_text }] = await generate(messages, { max_new_tokens: 60, do_sample: false });",
      "console.log(generated_text.at(-1).content);",
    ],
  },
};
