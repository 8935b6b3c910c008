/** What people read of a token classifier. */

import { nameList } from "../../core/errors.ts";
import { formatCount, percent } from "../../core/format.ts";
import { type Block, details } from "../../document/blocks.ts";
import { countRows, readFigure } from "../compare.ts";
import { classesTable, classRows, countMessages, MESSAGES, mistakesTable, tooFew } from "../message-words.ts";
import type { TaggedText } from "../predictions.ts";
import type { Results, Usage, Words } from "../task.ts";
import { readTags, unlikeSeqeval } from "./entities.ts";
import type { EntityDetails } from "./tokens-training.ts";

const TYPES = ["Type", "Types"] as const;

export const words: Words<EntityDetails> = {
  ...MESSAGES,
  units: { many: "sentences", seen: "examples", rows: "sentences", counted: "words" },
  loss: "cross-entropy (nats)",
  choice: "tags, one a word",
  learned: (labels) => `with ${labels} tags`,
  reads: describeTags,
  data: classRows(["Tag", "Tags"], "Words"),
  headline(_, { test }) {
    const [{ rows, measured }] = test.compared;
    const [f1, accuracy] = [measured.entity_f1, measured.acc].map((one) => percent(readFigure(one)!));
    return `Entity F1 ${f1} on ${countMessages(rows, "sentence")}, ${accuracy} of their words with the right tag${tooFew(rows)}`;
  },
  blocks: (_, results) => [classesTable(nameTypes(results), TYPES, [], "Entities"), ...mistakes(results)],
  drawn: () => ({ rows: "sentences" }),
};

/** "types of entities: LOC, PER; as seqeval reads these tags" */
function describeTags(labels: readonly string[]): string {
  const types = new Set(readTags(labels).flatMap(({ prefix, type }) => (prefix === "O" ? [] : type)));
  const unlike = unlikeSeqeval(labels);
  const first = `seqeval, which takes the first letter of a tag for its prefix, reads differently: ${nameList(unlike)}`;
  return `types of entities: ${nameList([...types])}; ${unlike.length > 0 ? first : "as seqeval reads these tags"}`;
}

const nameTypes = ({ test }: Results<EntityDetails>) => test.details.types.map((one) => ({ ...one, label: one.type }));

function mistakes({ test }: Results<EntityDetails>): Block[] {
  const { there = [], named = [], same = [] } = test.rows;
  const wrong = there.filter((count, row) => count + named[row]! > 2 * same[row]!).length;
  if (wrong === 0) return [];
  const title = `Not exactly their entities: ${formatCount(wrong)} of ${countMessages(countRows(test.rows), "sentence")}`;
  return [details(title, [mistakesTable(test.mistakes, title, ["Entities", "Predicted"], undefined, "Sentence")])];
}

export const usage: Usage<TaggedText> = {
  transformers: "AutoModelForTokenClassification",
  hub: "token-classification",
  does: (_, labels) => `tags each word of sentences with one of ${labels.length} tags`,
  choice: () => "a tag for each word",
  columns: () => ["entities"],
  cells: ({ entities }) => [
    JSON.stringify(entities.map((one) => ({ ...one, probability: Number(one.probability.toFixed(6)) }))),
  ],
  python: [
    "# As in training: a space before each word, whose tag is that of its first token.",
    'words = "Ann Lee lives in New York .".split()',
    'parts = [tokenizer(" " + word, add_special_tokens=False)["input_ids"] for word in words]',
    'batch = tokenizer.pad({"input_ids": [tokenizer("")["input_ids"] + sum(parts, [])]}, return_tensors="pt")',
    "logits = model.eval()(**batch).logits[0, -sum(map(len, parts)):]",
    "tags = list(model.config.id2label.values())",
    "for word, part in zip(words, parts):",
    "    print(word, tags[logits[0].argmax().item()])",
    "    logits = logits[len(part):]",
  ],
  javascript: [],
  hasPipeline: false,
};
